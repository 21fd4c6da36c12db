//! How closures behave on hosts: what the simulator knows and the system must find out.

use std::collections::BTreeMap;

use wavegate_proto::event::{DeclaredProbe, FailureClass};
use wavegate_proto::ids::{ClosureId, HostName};
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

/// How every closure behaves, everywhere or on some hosts only.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    closures: BTreeMap<ClosureId, Health>,
    on_hosts: BTreeMap<(ClosureId, HostName), Health>,
}

impl Behaviour {
    pub fn set(&mut self, closure: ClosureId, health: Health) {
        self.closures.insert(closure, health);
    }

    pub fn set_on(&mut self, host: HostName, closure: ClosureId, health: Health) {
        self.on_hosts.insert((closure, host), health);
    }

    pub fn of(&self, closure: &ClosureId, host: &HostName) -> Health {
        let here = self.on_hosts.get(&(closure.clone(), host.clone()));
        here.or_else(|| self.closures.get(closure)).copied().unwrap_or(Health::Good)
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
        interval_secs: 15,
        timeout_secs: 2,
    }]
}

/// A failure that is not the closure's.
pub const INFRA_FAILURE: (FailureClass, &str) = (FailureClass::Network, "fetch-failed");
