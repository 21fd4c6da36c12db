//! Steps that nothing undoes: once one was begun, there is no way back past it.
//!
//! The resource engine writes a step down before it begins and tells the core; the core refuses to go back
//! until a closure has converged here again. From then on going back leads to that closure, and no
//! further.
//! Not here: which resources are such steps (the signed bundle), keeping the list (the engine).

use wavegate_proto::event::cut_text;
use wavegate_proto::ids::{ClosureId, ResourceId};
use wavegate_proto::record::HostState;

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;

/// What was begun on this host since a closure last converged, and cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OneWay {
    /// Nothing.
    #[default]
    Open,
    /// These resources, in their order.
    Passed(Vec<ResourceId>),
    /// The list cannot be read: there may have been such a step.
    Unknown,
}

impl OneWay {
    /// Why there is no way back; `None`: there is one.
    fn refusal(&self) -> Option<String> {
        match self {
            Self::Open => None,
            Self::Passed(steps) => {
                let names: Vec<&str> = steps.iter().map(ResourceId::as_str).collect();
                Some(cut_text(format!("one-way: {} cannot be undone", names.join(", "))))
            }
            Self::Unknown => {
                Some("one-way: the list of steps that cannot be undone is lost".into())
            }
        }
    }
}

impl AgentCore {
    /// Why going back is refused; `None`: it is not.
    pub(super) fn no_way_back(&self) -> Option<String> {
        self.one_way.refusal()
    }

    /// A closure has converged: what was begun on the way to it is behind us.
    pub(super) fn leave_behind(&mut self, step: &mut Step<'_>, closure: &ClosureId) {
        if std::mem::take(&mut self.one_way) != OneWay::Open {
            step.push(AgentEffect::SettleOneWay { closure: closure.clone() });
        }
    }

    /// The process ended between a closure's converging and what follows from it.
    pub(super) fn leave_behind_at_start(&mut self, step: &mut Step<'_>) {
        let newest = self.running_track();
        let settled = newest.filter(|track| track.record.state == HostState::Converged);
        if let Some(closure) = settled.map(|track| track.record.target_closure.clone()) {
            self.leave_behind(step, &closure);
        }
    }
}
