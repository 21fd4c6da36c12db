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
        self.users.iter().filter(move |user| self.blocks(user, host))
    }

    /// Whether `host` waits for `user`.
    #[must_use]
    pub fn blocks(&self, user: &HostName, host: &HostName) -> bool {
        let both_broken = || self.broken.contains(host) && self.broken.contains(user);
        user != host && self.users.contains(user) && !both_broken()
    }

    /// How many hosts `host` waits for, without looking at each: the broken ones are among the users.
    #[must_use]
    pub fn blocker_count(&self, host: &HostName) -> u64 {
        let waits_for = if self.broken.contains(host) {
            self.users.len().saturating_sub(self.broken.len())
        } else {
            self.users.len() - usize::from(self.users.contains(host))
        };
        u64::try_from(waits_for).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blockers_are_counted_as_they_are_listed() {
        let name = |host: &str| host.parse::<HostName>().unwrap();
        let budget = Budget {
            users: ["a", "b", "c", "d"].map(name).into(),
            broken: ["c", "d"].map(name).into(),
            ..Budget::default()
        };
        for (host, blockers) in [("a", 3), ("c", 2), ("z", 4)] {
            let host = name(host);
            assert_eq!(budget.blockers(&host).count(), blockers, "{host}");
            assert_eq!(budget.blocker_count(&host), blockers as u64, "{host}");
        }
    }
}
