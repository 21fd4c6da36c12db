//! Disruption budgets: how many of a group of hosts may be disrupted at once, over all rollouts.

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::ids::{HostName, RolloutId};

/// One budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// The limit that each rollout's signed header gives it.
    pub limits: BTreeMap<RolloutId, u32>,
    /// The hosts that use a slot now.
    pub users: BTreeSet<HostName>,
    /// Those of them that use it because they are broken, and are not being worked on.
    pub broken: BTreeSet<HostName>,
}

impl Budget {
    /// The limit that counts: the smallest.
    #[must_use]
    pub fn max_in_flight(&self) -> u64 {
        self.limits.values().copied().min().map_or(u64::MAX, u64::from)
    }

    /// The hosts that `host` waits for. A host never blocks itself, and broken ones do not block each
    /// other: they are down as it is, and only the fix brings them back (G19).
    pub fn blockers<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = &'a HostName> {
        let is_broken = self.broken.contains(host);
        self.users
            .iter()
            .filter(move |user| *user != host && !(is_broken && self.broken.contains(*user)))
    }
}
