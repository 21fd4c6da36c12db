//! Which resources of a host are completed, as far as it has said: hosts wait for those of others.
//!
//! While a host activates, the completed ones are noted; an activation that is complete has completed all of
//! them, so from then on only the exceptions are. Few hosts activate at a time, so the fleet's books are small.
//! Not here: which resources there are (the signed closure, which the control plane does not open), who waits.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wavegate_proto::event::Event;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::resource::{Operation, ResourceState, ResourceStatus};

/// The most resources noted of one host (G14). Those beyond count as completed when the activation is.
pub const MAX_NOTED: usize = 1024;

/// What a host has said of its resources in one rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceBook {
    /// While it activates: those that are completed, their gates passed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    done: BTreeSet<ResourceId>,
    /// Afterwards: those that are not any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    undone: BTreeSet<ResourceId>,
}

impl ResourceBook {
    /// Takes an event that was folded; `state` is the record's since.
    pub fn take(&mut self, state: HostState, event: &Event) {
        if let Event::ResourceChanged { id, status, .. } = event {
            return self.note(state, id, status);
        }
        let begins_anew = matches!(
            event,
            Event::DispatchAck { .. }
                | Event::ActivationComplete { .. }
                | Event::ActivationFailed { .. }
                | Event::Failed { .. }
        );
        if begins_anew {
            *self = Self::default();
        }
    }

    fn note(&mut self, state: HostState, id: &ResourceId, status: &ResourceStatus) {
        let deleted = status.operation == Operation::Delete;
        let completed = status.status == ResourceState::Completed;
        let (noted, is_noted) = match state {
            HostState::Activating => (&mut self.done, completed && !deleted),
            HostState::Soaking | HostState::Converged => (&mut self.undone, !completed),
            // What is said then is about the way back.
            HostState::Pending
            | HostState::Deferred
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => return,
        };
        if !is_noted {
            noted.remove(id);
        } else if noted.len() < MAX_NOTED {
            noted.insert(id.clone());
        }
    }

    /// Whether the resource is completed, in a record in this state.
    #[must_use]
    pub fn is_completed(&self, state: HostState, id: &ResourceId) -> bool {
        match state {
            HostState::Activating => self.done.contains(id),
            HostState::Soaking | HostState::Converged => !self.undone.contains(id),
            HostState::Pending
            | HostState::Deferred
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => false,
        }
    }

    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.undone.is_empty()
    }
}
