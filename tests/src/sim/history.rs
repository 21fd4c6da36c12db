//! What hosts have really done, and when: for the reference model, which looks at nothing else.

use std::collections::{BTreeMap, BTreeSet};

use wavegate_control_plane::core::Write;
use wavegate_proto::event::Event;
use wavegate_proto::ids::{HostName, RolloutId};
use wavegate_state_machine::agent::AgentEffect;

/// What hosts have really done, in milliseconds of the world.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// When a host first began to activate in a rollout.
    pub activated: BTreeMap<(RolloutId, HostName), u64>,
    /// When a host first converged in a rollout, or kept what it ran.
    pub converged: BTreeMap<(RolloutId, HostName), u64>,
    /// Hosts that the control plane has ever found to run something else than they converged on: what it has
    /// lost of their histories may make it think so (G26). They wait for no wave.
    pub diverged: BTreeSet<HostName>,
}

impl History {
    pub(super) fn note_writes(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::Log(row) = write
                && row.kind == "host_diverged"
            {
                self.diverged.extend(row.host.clone());
            }
        }
    }

    pub(super) fn note(&mut self, host: &HostName, effect: &AgentEffect, at_millis: u64) {
        if let AgentEffect::Activate { rollout_id, .. } = effect {
            let key = (rollout_id.clone(), host.clone());
            self.activated.entry(key).or_insert(at_millis);
        }
        if let AgentEffect::Append { rollout_id, entry, .. } = effect
            && matches!(entry.event, Event::Converged { .. } | Event::Carried { .. })
        {
            let key = (rollout_id.clone(), host.clone());
            self.converged.entry(key).or_insert(at_millis);
        }
    }
}
