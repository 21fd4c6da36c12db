//! `wavegate status`.
//!
//! Not here: single hosts and rollouts.

use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{Mode, Status};

use super::eta;
use super::table::{counts, pairs, table};

/// The fleet at a glance.
#[must_use]
pub fn status(status: &Status, now: Timestamp) -> String {
    let mode = match status.mode {
        Mode::Normal => "normal",
        Mode::Recovering => "recovering (nothing is dispatched until hosts have reported)",
    };
    let hosts = &status.hosts;
    let by_state = hosts.by_state.iter().map(|(state, count)| (state, *count));
    let head = pairs(&[
        ("fleet", status.fleet.to_string()),
        ("release", format!("serial {}", status.serial)),
        ("mode", mode.to_owned()),
        ("hosts", format!("{} ({} online, {} offline)", hosts.total, hosts.online, hosts.offline)),
        ("states", counts(by_state)),
        ("log", format!("{} rows", status.log.last_seq)),
    ]);
    let rows = status.rollouts.iter().map(|rollout| {
        [
            rollout.rollout_id.to_string(),
            rollout.state.to_string(),
            format!("{} of {}", rollout.current_wave, rollout.waves_total),
            eta::end_cell(now, rollout.eta),
        ]
    });
    format!("{head}\n{}", table(["ROLLOUT", "STATE", "WAVE", "ENDS"], rows, "no rollouts yet"))
}
