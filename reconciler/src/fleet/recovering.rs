//! After every start the control plane first listens: dispatching waits until the hosts whose state
//! may have moved on have reported and replayed.

use std::collections::BTreeSet;

use wavegate_proto::ids::HostName;
use wavegate_proto::time::Mono;

/// What is still unreported after the last start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovering {
    /// Whether the database was made at this start.
    pub new_database: bool,
    /// When dispatching goes on at the latest; `None` until a release is loaded.
    pub deadline: Option<Mono>,
    /// When it did go on.
    pub opened_at: Option<Mono>,
    /// Hosts that have not reported, or not replayed what they were asked for. After the gate has
    /// opened they are `unknown` (G25): not dispatched, not done, using their budget slots.
    pub unreported: BTreeSet<HostName>,
}

impl Recovering {
    /// At the start of a process.
    #[must_use]
    pub fn at_start(new_database: bool) -> Self {
        Self { new_database, deadline: None, opened_at: None, unreported: BTreeSet::new() }
    }

    /// Whether dispatching still waits at `now`.
    #[must_use]
    pub fn holds(&self, now: Mono) -> bool {
        if self.opened_at.is_some() {
            return false;
        }
        match self.deadline {
            None => true,
            Some(deadline) => now < deadline && !self.unreported.is_empty(),
        }
    }
}
