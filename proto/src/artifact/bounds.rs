//! Bounds on every number and list of a signed document, so that no signer's slip makes a verifier
//! overflow, wait for ever or fill its memory. Breaking one is `bad-json`.
//!
//! Not here: the rules between documents (see [`crate::artifact::release`]).

use std::collections::BTreeSet;

use petgraph::algo::toposort;
use petgraph::graphmap::DiGraphMap;

use crate::artifact::entry::HostEntry;
use crate::artifact::fleet::{EnrollMode, FleetDocument, FleetHost};
use crate::artifact::header::RolloutHeader;
use crate::artifact::policy::{Limit, Policy};
use crate::artifact::rules::{RuleCode, Violation};
use crate::artifact::window::{Weekday, Window};

/// The longest duration a document may name, in seconds: 366 days.
pub(super) const MAX_DURATION_SECS: u64 = 366 * 24 * 3600;

/// The most channels of a fleet.
pub(super) const MAX_CHANNELS: usize = 1000;

/// The most operators with a scope.
const MAX_OPERATORS: usize = 10_000;

const MAX_WAVES: usize = 100;
const MAX_BUDGETS: usize = 1000;
const MAX_WINDOWS: usize = 100;
const MAX_INFRA_RETRIES: u32 = 100;
const MAX_TAGS: usize = 64;
const MAX_LABEL_BYTES: usize = 128;
const MAX_REASON_BYTES: usize = 4 * 1024;
const MAX_CHANNEL_EDGES: usize = 10_000;
const MAX_REVOCATIONS: usize = 100_000;
const MAX_ENTRY_AFTER: usize = 4096;
const MAX_ENTRY_BUDGETS: usize = 64;

fn broken(detail: String) -> Violation {
    Violation::new(RuleCode::BadJson, detail)
}

fn within(what: &str, value: u64, min: u64, max: u64) -> Result<(), Violation> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(broken(format!("{what} is {value}, not {min} to {max}")))
    }
}

fn at_most(what: &str, len: usize, max: usize) -> Result<(), Violation> {
    if len <= max { Ok(()) } else { Err(broken(format!("{what}: {len}, at most {max}"))) }
}

fn is_label(what: &str, text: &str) -> Result<(), Violation> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(broken(format!("{what} is empty or has control characters")));
    }
    at_most(what, text.len(), MAX_LABEL_BYTES)
}

fn distinct<T: Ord>(what: &str, items: impl Iterator<Item = T>) -> Result<(), Violation> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(item) {
            return Err(broken(format!("{what}: one is there twice")));
        }
    }
    Ok(())
}

/// The fleet document.
pub(super) fn check_fleet(fleet: &FleetDocument) -> Result<(), Violation> {
    within("serial", fleet.serial.0, 1, u64::MAX)?;
    at_most("channels", fleet.channels.len(), MAX_CHANNELS)?;
    for channel in fleet.channels.values() {
        let window = channel.freshness_window_secs;
        within("freshness_window_secs", window, 1, MAX_DURATION_SECS)?;
        is_label("rollout_policy", &channel.rollout_policy)?;
    }
    for (name, host) in &fleet.hosts {
        check_fleet_host(fleet, host).map_err(|v| broken(format!("host {name}: {}", v.detail)))?;
    }
    at_most("revoked", fleet.revoked.len(), MAX_REVOCATIONS)?;
    for revocation in &fleet.revoked {
        is_label("subject", &revocation.subject)?;
        at_most("reason", revocation.reason.as_deref().map_or(0, str::len), MAX_REASON_BYTES)?;
    }
    at_most("operators", fleet.operators.len(), MAX_OPERATORS)?;
    for (name, scope) in &fleet.operators {
        at_most("channels of an operator", scope.channels.len(), MAX_CHANNELS)?;
        if let Some(unknown) = scope.channels.iter().find(|c| !fleet.channels.contains_key(*c)) {
            return Err(broken(format!("operator {name}: unknown channel {unknown}")));
        }
    }
    check_enroll(fleet)?;
    check_channel_edges(fleet)
}

/// Without a nonce, mode `strict` would let nobody in.
fn check_enroll(fleet: &FleetDocument) -> Result<(), Violation> {
    match &fleet.enroll {
        Some(enroll) if enroll.mode == EnrollMode::Strict && enroll.nonce.is_none() => {
            Err(broken("enroll: mode strict needs a nonce".to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_fleet_host(fleet: &FleetDocument, host: &FleetHost) -> Result<(), Violation> {
    if !fleet.channels.contains_key(&host.channel) {
        return Err(broken(format!("unknown channel {}", host.channel)));
    }
    at_most("tags", host.tags.len(), MAX_TAGS)?;
    host.tags.iter().try_for_each(|tag| is_label("tag", tag))?;
    host.public_key.as_deref().map_or(Ok(()), |key| is_label("public_key", key))
}

fn check_channel_edges(fleet: &FleetDocument) -> Result<(), Violation> {
    at_most("channel_edges", fleet.channel_edges.len(), MAX_CHANNEL_EDGES)?;
    let mut graph = DiGraphMap::<&str, ()>::new();
    for edge in &fleet.channel_edges {
        for end in [&edge.before, &edge.after] {
            if !fleet.channels.contains_key(end) {
                return Err(broken(format!("channel_edges: unknown channel {end}")));
            }
        }
        at_most("reason", edge.reason.as_deref().map_or(0, str::len), MAX_REASON_BYTES)?;
        graph.add_edge(edge.before.as_str(), edge.after.as_str(), ());
    }
    match toposort(&graph, None) {
        Ok(_) => Ok(()),
        Err(cycle) => Err(broken(format!("channel_edges: a cycle through {}", cycle.node_id()))),
    }
}

/// The header.
pub(super) fn check_header(header: &RolloutHeader) -> Result<(), Violation> {
    within("serial", header.serial.0, 1, u64::MAX)?;
    within("freshness_window_secs", header.freshness_window_secs, 1, MAX_DURATION_SECS)?;
    at_most("budgets", header.budgets.len(), MAX_BUDGETS)?;
    distinct("budgets", header.budgets.iter().map(|b| &b.id))?;
    for budget in &header.budgets {
        within("max_in_flight", u64::from(budget.max_in_flight), 1, u64::from(u32::MAX))?;
    }
    check_policy(&header.policy)
}

fn check_policy(policy: &Policy) -> Result<(), Violation> {
    at_most("waves", policy.waves.len(), MAX_WAVES)?;
    distinct("waves", policy.waves.iter().map(|w| &w.name))?;
    for wave in &policy.waves {
        within("soak_secs", wave.soak_secs, 0, MAX_DURATION_SECS)?;
    }
    for (what, secs, min) in [
        ("failure_threshold_secs", policy.failure_threshold_secs, 0),
        ("activation_timeout_secs", policy.activation_timeout_secs, 1),
        ("dispatch_timeout_secs", policy.dispatch_timeout_secs, 1),
        ("await_timeout_secs", policy.await_timeout_secs, 1),
        ("offline_after_secs", policy.offline_after_secs, 1),
        ("skip_offline_after_secs", policy.skip_offline_after_secs.unwrap_or(1), 1),
    ] {
        within(what, secs, min, MAX_DURATION_SECS)?;
    }
    check_limit("max_failures", policy.max_failures)?;
    check_limit("max_infra_failures", policy.max_infra_failures)?;
    within("infra_retries", u64::from(policy.infra_retries), 0, u64::from(MAX_INFRA_RETRIES))?;
    let rate = policy.max_dispatch_per_minute.unwrap_or(1);
    within("max_dispatch_per_minute", u64::from(rate), 1, u64::from(u32::MAX))?;
    at_most("windows", policy.windows.len(), MAX_WINDOWS)?;
    policy.windows.iter().try_for_each(check_window)
}

fn check_limit(what: &str, limit: Limit) -> Result<(), Violation> {
    match limit {
        Limit::Count(_) => Ok(()),
        Limit::Percent(percent) => within(what, u64::from(percent), 0, 100),
    }
}

/// A window without days would never come.
fn check_window(window: &Window) -> Result<(), Violation> {
    if window.days.is_empty() {
        return Err(broken("windows: one has no days".to_owned()));
    }
    at_most("days", window.days.len(), Weekday::ALL.len())?;
    distinct("days", window.days.iter())
}

/// One host's entry.
pub(super) fn check_entry(entry: &HostEntry) -> Result<(), Violation> {
    at_most("after", entry.after.len(), MAX_ENTRY_AFTER)?;
    at_most("budgets", entry.budgets.len(), MAX_ENTRY_BUDGETS)?;
    distinct("after", entry.after.iter())?;
    distinct("budgets", entry.budgets.iter())?;
    if entry.after.contains(&entry.host) {
        return Err(broken("after: a host cannot wait for itself".to_owned()));
    }
    if entry.checks.is_some() && entry.closure.blob().is_some() {
        return Err(broken("checks: only store paths have them".to_owned()));
    }
    Ok(())
}
