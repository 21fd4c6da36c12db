//! How many hosts one after the other the hosts of a wave need: budgets let only so many work at once, and
//! a host goes after those its entry names.
//!
//! Not here: how long one takes.

use std::collections::BTreeMap;

use wavegate_proto::ids::{BudgetId, HostName};

use crate::fleet::Fleet;
use crate::fleet::placement::Placement;

/// The hosts of a wave that have not been dispatched yet.
#[derive(Debug, Default)]
pub(super) struct Waiting<'a> {
    hosts: BTreeMap<&'a HostName, &'a Placement>,
    in_budget: BTreeMap<&'a BudgetId, u64>,
}

impl<'a> Waiting<'a> {
    pub(super) fn add(&mut self, host: &'a HostName, placement: &'a Placement) {
        self.hosts.insert(host, placement);
        for budget in &placement.entry.budgets {
            *self.in_budget.entry(budget).or_default() += 1;
        }
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.hosts.len()).unwrap_or(u64::MAX)
    }

    /// The longest row of hosts that go one after the other; 0 when nobody waits.
    pub(super) fn rounds(&self, fleet: &Fleet) -> u64 {
        let of_budget = |(id, members): (&&BudgetId, &u64)| {
            let limit = fleet.budgets.get(*id).map_or(u64::MAX, |budget| budget.max_in_flight());
            members.div_ceil(limit.max(1))
        };
        let by_budget = self.in_budget.iter().map(of_budget).max();
        by_budget.unwrap_or(0).max(self.longest_chain())
    }

    /// The longest chain of host edges, in hosts. Edges in a circle end no chain; they are refused when a
    /// release is built.
    fn longest_chain(&self) -> u64 {
        let mut waits_for: BTreeMap<&HostName, usize> = BTreeMap::new();
        let mut followers: BTreeMap<&HostName, Vec<&HostName>> = BTreeMap::new();
        for (host, placement) in &self.hosts {
            let before = placement.entry.after.iter().filter(|name| self.hosts.contains_key(name));
            let mut edges = 0;
            for name in before {
                followers.entry(name).or_default().push(host);
                edges += 1;
            }
            waits_for.insert(host, edges);
        }
        let free = waits_for.iter().filter(|(_, edges)| **edges == 0);
        let mut round: Vec<&HostName> = free.map(|(host, _)| *host).collect();
        let mut rounds = 0;
        while !round.is_empty() {
            rounds += 1;
            let mut next = Vec::new();
            for follower in round.iter().filter_map(|host| followers.get(host)).flatten() {
                let Some(edges) = waits_for.get_mut(follower) else { continue };
                *edges -= 1;
                if *edges == 0 {
                    next.push(*follower);
                }
            }
            round = next;
        }
        rounds
    }
}
