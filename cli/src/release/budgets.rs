//! Disruption budgets: members, and shares turned into numbers.
//!
//! Not here: who uses a slot (the planner).

use std::collections::BTreeSet;

use wavegate_proto::artifact::policy::Budget;
use wavegate_proto::ids::HostName;

use super::names;
use crate::fleet_toml::FleetFile;
use crate::fleet_toml::model::DisruptionBudget;
use crate::fleet_toml::selector::Selectables;
use crate::fleet_toml::source::Complaints;

/// A budget with its members.
#[derive(Debug, Clone)]
pub(super) struct ResolvedBudget {
    pub(super) budget: Budget,
    pub(super) members: BTreeSet<HostName>,
}

/// Resolves every budget, sorted by id.
pub(super) fn resolve(
    file: &FleetFile,
    hosts: &Selectables,
    complaints: &mut Complaints<'_>,
) -> Vec<ResolvedBudget> {
    let mut resolved: Vec<ResolvedBudget> = Vec::new();
    for (index, keys) in file.keys.disruption_budgets.iter().enumerate() {
        let index = index.to_string();
        let place = ["disruption_budgets", index.as_str()];
        names::check_selector(&keys.hosts, hosts, &[&place[..], &["hosts"]].concat(), complaints);
        let members: BTreeSet<HostName> = keys.hosts.resolve(hosts).into_iter().collect();
        if members.is_empty() {
            complaints.add(&place, format!("budget {} has no host", keys.id));
        }
        if resolved.iter().any(|other| other.budget.id == keys.id) {
            complaints.add(&place, format!("a second budget {}", keys.id));
        }
        match limit(keys, members.len()) {
            Ok(max_in_flight) => resolved.push(ResolvedBudget {
                budget: Budget { id: keys.id.clone(), max_in_flight },
                members,
            }),
            Err(message) => complaints.add(&place, format!("budget {}: {message}", keys.id)),
        }
    }
    resolved.sort_by(|a, b| a.budget.id.cmp(&b.budget.id));
    resolved
}

fn limit(keys: &DisruptionBudget, members: usize) -> Result<u32, &'static str> {
    match (keys.max_in_flight, keys.max_in_flight_pct) {
        (Some(0), None) => Err("max_in_flight 0 would let no host through"),
        (Some(count), None) => Ok(count),
        (None, Some(percent @ 1..=100)) => Ok(share(members, percent)),
        (None, Some(_)) => Err("max_in_flight_pct must be 1 to 100"),
        (Some(_), Some(_)) | (None, None) => {
            Err("give either `max_in_flight` or `max_in_flight_pct`")
        }
    }
}

/// `percent` of `members`, rounded down, at least 1.
fn share(members: usize, percent: u32) -> u32 {
    let members = u64::try_from(members).unwrap_or(u64::MAX);
    let hosts = members.saturating_mul(u64::from(percent)) / 100;
    u32::try_from(hosts).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E16: shares at the sizes where rounding surprises; never 0, which would be a deadlock.
    #[test]
    fn e16_shares_are_rounded_down_and_at_least_one() {
        for (members, half, five) in
            [(1, 1, 1), (2, 1, 1), (3, 1, 1), (99, 49, 4), (100, 50, 5), (101, 50, 5)]
        {
            assert_eq!(share(members, 50), half, "50 % of {members}");
            assert_eq!(share(members, 5), five, "5 % of {members}");
            assert_eq!(share(members, 100), u32::try_from(members).unwrap());
        }
    }
}
