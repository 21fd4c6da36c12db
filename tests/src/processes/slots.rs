//! Disruption budgets: how many hosts were in the middle of something at once.

use std::collections::BTreeSet;

use serde_json::Value;
use wavegate_proto::event::Event;
use wavegate_proto::time::Timestamp;

use super::ledger::{Entry, Ledger};

/// The hosts that use a slot by what the list of hosts says.
pub fn in_use(hosts: &[Value]) -> BTreeSet<String> {
    let uses = |host: &&Value| {
        let busy = ["activating", "deferred", "soaking", "failed"];
        busy.contains(&host["state"].as_str().unwrap_or_default())
    };
    hosts.iter().filter(uses).map(|host| host["host"].as_str().unwrap().to_owned()).collect()
}

/// The most of `members` that were between start and end of one dispatch at the same time in
/// `rollout`, by the journals of the hosts themselves.
pub fn most_at_once(ledger: &Ledger, rollout: &str, members: &BTreeSet<String>) -> usize {
    let mut changes: Vec<(Timestamp, i32)> = Vec::new();
    for (host, Entry { rollout_id, entry, .. }) in ledger.entries() {
        if rollout_id != rollout || !members.contains(host) {
            continue;
        }
        if matches!(entry.event, Event::ActivationStarted { .. }) {
            changes.push((entry.at, 1));
        } else if matches!(entry.event, Event::Converged { .. }) {
            changes.push((entry.at, -1));
        }
    }
    // An end at the same millisecond frees the slot first.
    changes.sort_unstable();
    let mut now = 0;
    let mut most = 0;
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    usize::try_from(most).unwrap()
}
