//! `wavegate rollout`.
//!
//! Not here: its events (see [`super::events`]).

use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{Outcome, RolloutDocument, RolloutMark, WaveDocument};

use super::eta;
use super::explain::kind;
use super::table::{ago, counts, or_dash, pairs, span, table};

/// A list of rollouts.
#[must_use]
pub fn list(rollouts: &[RolloutDocument], now: Timestamp) -> String {
    let rows = rollouts.iter().map(|rollout| {
        [
            rollout.rollout_id.to_string(),
            state(rollout),
            format!("{} of {}", rollout.current_wave, rollout.waves.len()),
            counts(by_state(rollout)),
            ago(now, rollout.opened_at),
        ]
    });
    table(["ROLLOUT", "STATE", "WAVE", "HOSTS", "OPENED"], rows, "no rollouts match")
}

/// One rollout.
#[must_use]
pub fn one(rollout: &RolloutDocument, now: Timestamp) -> String {
    let mut lines = vec![
        ("rollout", rollout.rollout_id.to_string()),
        ("state", state(rollout)),
        ("serial", rollout.serial.to_string()),
        ("opened", ago(now, rollout.opened_at)),
    ];
    if let Some(by) = &rollout.mark_by {
        lines.push(("marked", format!("by {}, {}: {}", by.actor, ago(now, by.at), by.reason)));
    }
    if let Some(halt) = &rollout.halt {
        let host = halt.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        lines.push(("halted", format!("{}{host}, {}", halt.reason, ago(now, halt.at))));
    }
    if let Some(next) = &rollout.superseded_by {
        lines.push(("superseded", format!("by {next}")));
    }
    let failures = rollout.failures;
    if failures.artifact + failures.infra > 0 {
        let both = format!("{} of the artifact, {} other", failures.artifact, failures.infra);
        lines.push(("failures", both));
    }
    if let Some(expected) = &rollout.eta {
        lines.push(("ends", eta::end(now, expected)));
    }
    let mut text = format!("{}\n{}", pairs(&lines), waves(rollout, now));
    if !rollout.waiting_for.is_empty() {
        let rows = rollout.waiting_for.iter().map(|waiting| {
            [
                waiting.host.to_string(),
                waiting.gate.clone(),
                kind(waiting.kind).to_owned(),
                ago(now, waiting.since),
            ]
        });
        let header = ["WAITS FOR", "GATE", "WHICH IS", "SINCE"];
        text.push_str(&format!("\n{}", table(header, rows, "")));
    }
    text
}

/// What a verb about a rollout has come to, and what becomes of hosts in flight.
#[must_use]
pub fn after_verb(rollout: &RolloutDocument) -> String {
    let in_flight: u64 = rollout
        .waves
        .iter()
        .flat_map(|wave| &wave.by_state)
        .filter(|(state, _)| matches!(state, HostState::Activating | HostState::Soaking))
        .map(|(_, count)| *count)
        .sum();
    let id = &rollout.rollout_id;
    match rollout.mark {
        Some(RolloutMark::Paused) => {
            format!(
                "{id} is paused: nothing more is dispatched, {in_flight} hosts in flight finish\n"
            )
        }
        Some(RolloutMark::Aborted) => format!(
            "{id} is aborted: nothing more is dispatched, {in_flight} hosts in flight finish, and only \
             a newer release goes on\n"
        ),
        None => format!("{id} is {}: {in_flight} hosts are in flight\n", state(rollout)),
    }
}

/// The waves; when each is done only where that is to be expected at all.
fn waves(rollout: &RolloutDocument, now: Timestamp) -> String {
    let row = |wave: &WaveDocument| {
        [
            wave.index.to_string(),
            wave.name.to_string(),
            span(wave.soak_secs),
            wave.hosts.to_string(),
            approval(wave),
            counts(wave.by_state.iter().map(|(state, count)| (state, *count))),
        ]
    };
    if rollout.waves.iter().all(|wave| wave.eta.is_none()) {
        let rows = rollout.waves.iter().map(row);
        return table(["WAVE", "NAME", "SOAK", "HOSTS", "APPROVAL", "STATES"], rows, "no waves");
    }
    let rows = rollout.waves.iter().map(|wave| {
        let [index, name, soak, hosts, approval, states] = row(wave);
        [index, name, soak, hosts, approval, states, eta::cell(now, wave.eta)]
    });
    let header = ["WAVE", "NAME", "SOAK", "HOSTS", "APPROVAL", "STATES", "DONE"];
    table(header, rows, "no waves")
}

/// The hosts of a rollout.
#[must_use]
pub fn hosts(records: &[HostRecord], now: Timestamp) -> String {
    let rows = records.iter().map(|record| {
        let failure = record.failure.as_ref().map(|failure| failure.reason.clone());
        let degraded = record.degraded_since.map(|_| "degraded".to_owned());
        [
            record.host.to_string(),
            record.wave.to_string(),
            record.state.to_string(),
            ago(now, record.state_since),
            record.attempt.to_string(),
            or_dash(failure.or(degraded)),
        ]
    });
    table(["HOST", "WAVE", "STATE", "SINCE", "ATTEMPT", "TROUBLE"], rows, "no hosts")
}

fn approval(wave: &WaveDocument) -> String {
    match (&wave.approved_by, wave.requires_approval) {
        (Some(who), _) => format!("by {who}"),
        (None, true) => "needed".to_owned(),
        (None, false) => "-".to_owned(),
    }
}

fn state(rollout: &RolloutDocument) -> String {
    let mut words = vec![rollout.state.to_string()];
    words.extend(rollout.outcome.map(|outcome| match outcome {
        Outcome::Complete => "complete".to_owned(),
        Outcome::WithExceptions => "with exceptions".to_owned(),
    }));
    words.extend(rollout.mark.map(|mark| match mark {
        RolloutMark::Paused => "paused".to_owned(),
        RolloutMark::Aborted => "aborted".to_owned(),
    }));
    if rollout.frozen {
        words.push("frozen".to_owned());
    }
    words.join(", ")
}

fn by_state(rollout: &RolloutDocument) -> impl Iterator<Item = (String, u64)> {
    let mut sums = std::collections::BTreeMap::new();
    for wave in &rollout.waves {
        for (state, count) in &wave.by_state {
            *sums.entry(*state).or_insert(0) += count;
        }
    }
    sums.into_iter().map(|(state, count)| (state.to_string(), count))
}
