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
}

impl Budget {
    /// The limit that counts: the smallest.
    #[must_use]
    pub fn max_in_flight(&self) -> u64 {
        self.limits.values().copied().min().map_or(u64::MAX, u64::from)
    }

    /// How many hosts other than `host` use a slot.
    #[must_use]
    pub fn used_by_others(&self, host: &HostName) -> u64 {
        let own = u64::from(self.users.contains(host));
        u64::try_from(self.users.len()).unwrap_or(u64::MAX) - own
    }
}
