//! `wavegate hosts` and `wavegate host show`.
//!
//! Not here: why a host waits (see [`super::explain`]).

use wavegate_proto::record::{ProbeMode, ProbeRecord, ProbeStatus};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{HostDocument, Seen};
use wavegate_proto::wire::provider::Provider;

use super::table::{ago, closure, or_dash, pairs, table};

/// A list of hosts.
#[must_use]
pub fn list(hosts: &[HostDocument], now: Timestamp) -> String {
    let rows = hosts.iter().map(|host| {
        [
            host.host.to_string(),
            or_dash(host.channel.as_ref()),
            seen(host.seen).to_owned(),
            or_dash(host.state),
            host.state_since.map_or_else(|| "-".to_owned(), |since| ago(now, since)),
            or_dash(host.wave),
            closure(host.current_closure.as_ref()),
            if host.current_closure == host.target_closure { "yes" } else { "no" }.to_owned(),
        ]
    });
    let header = ["HOST", "CHANNEL", "SEEN", "STATE", "SINCE", "WAVE", "RUNS", "ON TARGET"];
    table(header, rows, "no hosts match")
}

/// One host.
#[must_use]
pub fn one(host: &HostDocument, now: Timestamp) -> String {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| ago(now, at));
    let hold = host.hold.as_ref().map(|hold| format!("{} ({})", hold.reason, hold.actor));
    let resources = &host.resources;
    let head = pairs(&[
        ("host", host.host.to_string()),
        ("channel", or_dash(host.channel.as_ref())),
        ("tags", if host.tags.is_empty() { "-".to_owned() } else { host.tags.join(", ") }),
        ("seen", format!("{}, {}", seen(host.seen), time(host.last_seen_at))),
        ("agent", or_dash(host.agent_version.as_ref())),
        ("rollout", or_dash(host.rollout_id.as_ref())),
        ("wave", or_dash(host.wave)),
        ("state", format!("{}, {}", or_dash(host.state), time(host.state_since))),
        ("runs", or_dash(host.current_closure.as_ref())),
        ("target", or_dash(host.target_closure.as_ref())),
        (
            "resources",
            format!(
                "{} completed, {} failed, {} blocked, {} drifted",
                resources.completed, resources.failed, resources.blocked, resources.drifted
            ),
        ),
        ("hold", or_dash(hold)),
        ("provider", or_dash(host.provider.as_ref().map(|told| provider(told, now)))),
        (
            "clock",
            host.clock_skew_secs.map_or_else(|| "-".to_owned(), |skew| format!("{skew:+} s")),
        ),
    ]);
    if host.probes.is_empty() {
        return head;
    }
    let rows = host.probes.iter().map(probe);
    format!("{head}\n{}", table(["PROBE", "MODE", "STATUS", "REASON"], rows, ""))
}

/// Where a host is after a verb about it.
#[must_use]
pub fn after_verb(host: &HostDocument, now: Timestamp) -> String {
    let name = &host.host;
    let rollout = host.rollout_id.as_ref();
    let place = rollout.map_or_else(String::new, |rollout| format!(" in {rollout}"));
    let held = match &host.hold {
        None => "no operator holds it".to_owned(),
        Some(hold) => match hold.until {
            Some(until) => format!("{} holds it until {until}: {}", hold.actor, hold.reason),
            None => format!("{} holds it until it is released: {}", hold.actor, hold.reason),
        },
    };
    let since = host.state_since.map_or_else(String::new, |at| format!(" since {}", ago(now, at)));
    format!(
        "{name} is {}{since}{place}; {held}\nwavegate host explain {name} tells what it waits for\n",
        or_dash(host.state)
    )
}

/// Where a host is after somebody has told what its provider says.
#[must_use]
pub fn after_sync(host: &HostDocument, now: Timestamp) -> String {
    let told = host.provider.as_ref().map(|told| provider(told, now));
    format!("provider of {}: {}\n", host.host, or_dash(told))
}

fn provider(told: &Provider, now: Timestamp) -> String {
    let id = told.provider_id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
    format!(
        "{}{id} since {}, told {} by {}",
        told.provider_state,
        ago(now, told.since),
        ago(now, told.last_sync),
        told.actor
    )
}

fn probe(probe: &ProbeRecord) -> [String; 4] {
    let mode = match probe.mode {
        ProbeMode::Enforce => "enforce",
        ProbeMode::Observe => "observe",
        ProbeMode::Disabled => "disabled",
    };
    let status = match probe.status {
        ProbeStatus::Unknown => "unknown",
        ProbeStatus::Pass => "pass",
        ProbeStatus::Fail => "fail",
    };
    [probe.name.to_string(), mode.to_owned(), status.to_owned(), or_dash(probe.reason.as_ref())]
}

fn seen(seen: Seen) -> &'static str {
    match seen {
        Seen::Never => "never",
        Seen::Online => "online",
        Seen::Offline => "offline",
    }
}
