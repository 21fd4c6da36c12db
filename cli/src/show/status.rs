//! `wavegate status`.
//!
//! Not here: single hosts and rollouts.

use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{Expiry, ExpiryKind, Mode, Status};

use super::eta;
use super::table::{counts, pairs, span, table};

/// The fleet at a glance.
#[must_use]
pub fn status(status: &Status, now: Timestamp) -> String {
    let mode = match status.mode {
        Mode::Normal => "normal",
        Mode::Recovering => "recovering (nothing is dispatched until hosts have reported)",
    };
    let hosts = &status.hosts;
    let by_state = hosts.by_state.iter().map(|(state, count)| (state, *count));
    let mut lines = vec![
        ("fleet", status.fleet.to_string()),
        ("release", format!("serial {}", status.serial)),
        ("mode", mode.to_owned()),
        ("hosts", format!("{} ({} online, {} offline)", hosts.total, hosts.online, hosts.offline)),
        ("states", counts(by_state)),
        ("log", format!("{} rows", status.log.last_seq)),
    ];
    lines.extend(status.trust_version.map(|version| ("trust", format!("version {version}"))));
    lines.extend(status.expiries.first().map(|first| ("expires", expiry(first))));
    let head = pairs(&lines);
    let rows = status.rollouts.iter().map(|rollout| {
        [
            rollout.rollout_id.to_string(),
            rollout.state.to_string(),
            format!("{} of {}", rollout.current_wave, rollout.waves_total),
            eta::end_cell(now, rollout.eta),
        ]
    });
    let rollouts = table(["ROLLOUT", "STATE", "WAVE", "ENDS"], rows, "no rollouts yet");
    format!("{head}\n{rollouts}{}", warnings(status))
}

/// What somebody should look at.
fn warnings(status: &Status) -> String {
    let alarms = &status.alarms;
    let mut lines = Vec::new();
    if let Some(code) = &alarms.release_untrusted {
        lines.push(format!("the adopted release is not trusted any more ({code}): sign it anew"));
    }
    if alarms.cloned > 0 {
        lines.push(format!("two machines use the certificate of {} hosts", alarms.cloned));
    }
    if alarms.clock_skewed > 0 {
        lines.push(format!("the clock is off on {} hosts", alarms.clock_skewed));
    }
    let soon = status.expiries.iter().filter(|expiry| expiry.left_secs < warn_secs(expiry.kind));
    lines.extend(soon.map(expiry));
    lines.iter().map(|line| format!("warning: {line}\n")).collect()
}

/// With less than so much left, somebody should do something about it.
fn warn_secs(kind: ExpiryKind) -> i64 {
    const DAY: i64 = 86_400;
    match kind {
        // A quarter of the usual day; what is stale only stops new dispatches.
        ExpiryKind::Freshness => DAY / 4,
        ExpiryKind::HostCertificate => 7 * DAY,
        ExpiryKind::ControlPlaneCertificate => 14 * DAY,
        ExpiryKind::Authority => 90 * DAY,
    }
}

fn expiry(expiry: &Expiry) -> String {
    let what = match expiry.kind {
        ExpiryKind::Freshness => "the signature of channel",
        ExpiryKind::HostCertificate => "the certificate of host",
        ExpiryKind::ControlPlaneCertificate => "the certificate of the",
        ExpiryKind::Authority => "the authority",
    };
    let left = span(expiry.left_secs.unsigned_abs());
    if expiry.left_secs < 0 {
        return format!("{what} {} ran out {left} ago", expiry.name);
    }
    format!("{what} {} in {left}", expiry.name)
}
