//! How closures behave on hosts: what the simulator knows and the system must find out.

use std::collections::BTreeMap;

use wavegate_proto::event::{DeclaredProbe, FailureClass};
use wavegate_proto::ids::ClosureId;
use wavegate_proto::record::{ProbeKind, ProbeMode};
use wavegate_state_machine::agent::ProbeSchedule;

/// How a closure behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It activates and its probes pass.
    Good,
    /// It activates and its probes fail.
    Unhealthy,
    /// Its activation fails for its own fault.
    Broken,
}

/// How every closure behaves.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    closures: BTreeMap<ClosureId, Health>,
}

impl Behaviour {
    pub fn set(&mut self, closure: ClosureId, health: Health) {
        self.closures.insert(closure, health);
    }

    pub fn of(&self, closure: &ClosureId) -> Health {
        self.closures.get(closure).copied().unwrap_or(Health::Good)
    }
}

/// The one probe that every closure declares.
pub fn probes() -> Vec<ProbeSchedule> {
    vec![ProbeSchedule {
        declared: DeclaredProbe {
            name: "app".parse().unwrap(),
            kind: ProbeKind::Exec,
            mode: ProbeMode::Enforce,
        },
        interval_secs: 5,
        timeout_secs: 2,
    }]
}

/// A failure that is not the closure's.
pub const INFRA_FAILURE: (FailureClass, &str) = (FailureClass::Network, "fetch-failed");
