//! `wavegate simulate`.
//!
//! Not here: what happened (the engine says it).

use wavegate_control_plane::forecast::Assumptions;
use wavegate_control_plane::forecast::simulate::{RolloutEnd, Simulation};
use wavegate_control_plane::forecast::timeline::{Entry, What};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{Outcome, WaitingFor};

use super::table::{pairs, table};

/// How many hosts of those that are waited for are named.
const NAMED_WAITING: usize = 3;

/// The timeline and the end.
#[must_use]
pub fn simulation(simulation: &Simulation, assumptions: Assumptions) -> String {
    let head = pairs(&[
        ("release", format!("{} of fleet {}", simulation.serial, simulation.fleet)),
        ("start", simulation.started_at.to_string()),
        ("assumed", assumed(assumptions)),
    ]);
    let start = simulation.started_at;
    let entries = simulation.timeline.entries.iter().map(|entry| {
        [when(entry.at), after(start, entry.at), entry.rollout_id.to_string(), what(start, entry)]
    });
    let timeline = table(["TIME", "AFTER", "ROLLOUT", "WHAT"], entries, "nothing happens");
    let mut text = format!("{head}\n{timeline}");
    if simulation.timeline.left_out > 0 {
        text.push_str(&format!("… and {} more\n", simulation.timeline.left_out));
    }
    let ends = simulation.rollouts.iter().map(|end| {
        [
            end.rollout_id.to_string(),
            state(end),
            format!("{} of {}", end.converged, end.hosts),
            waits_for(&end.waiting_for),
        ]
    });
    let ends = table(["ROLLOUT", "END", "CONVERGED", "WAITS FOR"], ends, "no rollouts");
    let took = after(start, simulation.ended_at);
    format!("{text}\nover after {took}\n{ends}")
}

fn assumed(assumptions: Assumptions) -> String {
    let percent = |share: f64| (share * 1000.0).round() / 10.0;
    let Assumptions { seed, fail, offline } = assumptions;
    format!(
        "{}% of activations fail, {}% of hosts are silent, seed {seed}; nobody runs anything yet",
        percent(fail),
        percent(offline)
    )
}

fn state(end: &RolloutEnd) -> String {
    let outcome = end.outcome.map(|outcome| match outcome {
        Outcome::Complete => "complete".to_owned(),
        Outcome::WithExceptions => "with exceptions".to_owned(),
    });
    let frozen = end.frozen.then(|| "frozen".to_owned());
    let words = [Some(end.state.to_string()), outcome, frozen];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn waits_for(waiting: &[WaitingFor]) -> String {
    let named = waiting.iter().take(NAMED_WAITING);
    let mut words: Vec<String> = named.map(|w| format!("{} ({})", w.host, w.gate)).collect();
    if waiting.len() > NAMED_WAITING {
        words.push("…".to_owned());
    }
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

fn what(start: Timestamp, entry: &Entry) -> String {
    let detail = &entry.detail;
    let of_hosts = |verb: &str| format!("{verb} {}", hosts(start, entry));
    match entry.what {
        What::Opened => format!("opens: {detail}"),
        What::WaveStarted => format!("{detail} starts"),
        What::State => detail.clone(),
        What::Quarantined => format!("quarantined: {detail}"),
        What::Dispatched => of_hosts("dispatched"),
        What::Converged => of_hosts("converged"),
        What::Carried => of_hosts("unchanged"),
        What::Failed => of_hosts("failed"),
        What::RolledBack => of_hosts("rolled back"),
        What::Skipped => of_hosts("left out"),
        What::TakenIn => of_hosts("taken in again"),
    }
}

/// `host-01, host-02, host-03 and 7 more, the last after 12m`.
fn hosts(start: Timestamp, entry: &Entry) -> String {
    let named: Vec<&str> = entry.hosts.iter().map(|host| host.as_str()).collect();
    let others = entry.count.saturating_sub(u64::try_from(named.len()).unwrap_or(u64::MAX));
    let mut text = named.join(", ");
    if others > 0 {
        text.push_str(&format!(" and {others} more"));
    }
    if entry.until > entry.at {
        text.push_str(&format!(", the last after {}", after(start, entry.until)));
    }
    text
}

fn when(at: Timestamp) -> String {
    at.truncated_to_secs().to_string().replace(".000Z", "Z")
}

/// `45s`, `3m 20s`, `5h 2m`, `2d 3h`: the two largest units.
fn after(start: Timestamp, at: Timestamp) -> String {
    let secs = u64::try_from(at.secs_since(start)).unwrap_or(0);
    let two = |large: u64, a: &str, small: u64, b: &str| {
        if small == 0 { format!("{large}{a}") } else { format!("{large}{a} {small}{b}") }
    };
    match secs {
        0..60 => format!("{secs}s"),
        60..3_600 => two(secs / 60, "m", secs % 60, "s"),
        3_600..86_400 => two(secs / 3_600, "h", secs % 3_600 / 60, "m"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    }
}
