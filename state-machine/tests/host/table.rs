//! Every state with every kind of event and every fact of the control plane.

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::event::{Event, FailureClass, ProbeOutcome};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_state_machine::host::{ControlFact, Origin, apply_fact};

use crate::fixtures::{
    activation_failed, after, at, code, ctx, every_event, in_state, leased, outcome, result,
};

/// The next state, or the code of the refusal. Sent live, with a dispatch open for the next attempt
/// that says nothing changes; `failed` and `degraded` after a failing probe, `recovered` while degraded.
const EVENTS: &str = "
event               pending     activating  deferred    soaking     converged   failed      reverted    skipped
journal_opened      soaking     activating  deferred    soaking     converged   failed      reverted    skipped
dispatch_ack        activating  wrong-state activating  activating  activating  activating  activating  activating
dispatch_reject     pending     wrong-state wrong-state wrong-state converged   failed      reverted    skipped
activation_started  wrong-state activating  wrong-state wrong-state wrong-state wrong-state wrong-state wrong-state
activation_complete wrong-state soaking     soaking     wrong-state wrong-state wrong-state wrong-state wrong-state
activation_failed   wrong-state failed      failed      wrong-state wrong-state wrong-state wrong-state wrong-state
activation_deferred wrong-state deferred    wrong-state wrong-state wrong-state wrong-state wrong-state wrong-state
probe_topology      wrong-state wrong-state wrong-state soaking     converged   wrong-state wrong-state wrong-state
probe_result        wrong-state wrong-state wrong-state soaking     converged   wrong-state wrong-state wrong-state
carried             converged   wrong-state wrong-state wrong-state wrong-state wrong-state wrong-state wrong-state
failed              wrong-state wrong-state wrong-state failed      wrong-state wrong-state wrong-state wrong-state
rollback_complete   wrong-state wrong-state wrong-state wrong-state wrong-state reverted    wrong-state wrong-state
rollback_failed     wrong-state wrong-state wrong-state wrong-state wrong-state failed      wrong-state wrong-state
converged           wrong-state wrong-state wrong-state converged   wrong-state wrong-state wrong-state wrong-state
degraded            wrong-state wrong-state wrong-state wrong-state converged   wrong-state wrong-state wrong-state
recovered           wrong-state wrong-state wrong-state wrong-state converged   wrong-state wrong-state wrong-state
resource_changed    wrong-state activating  deferred    soaking     converged   failed      reverted    skipped
drift_detected      wrong-state activating  deferred    soaking     converged   failed      reverted    skipped
drift_corrected     wrong-state activating  deferred    soaking     converged   failed      reverted    skipped
refused             replay-only replay-only replay-only replay-only replay-only replay-only replay-only replay-only
";

/// On records in a quiet state: converged and healthy, failed by the host with the rollback failed.
const FACTS: &str = "
fact                pending        activating     deferred       soaking        converged      failed         reverted       skipped
retry               not-retryable  not-retryable  not-retryable  not-retryable  not-retryable  pending        pending        pending
retry_lost          not-retryable  pending        pending        pending        pending        pending        not-retryable  not-retryable
infra_retry         not-retryable  not-retryable  not-retryable  not-retryable  not-retryable  pending        not-retryable  not-retryable
skip                skipped        host-in-flight host-in-flight host-in-flight wrong-state    skipped        skipped        wrong-state
unskip              wrong-state    wrong-state    wrong-state    wrong-state    wrong-state    wrong-state    wrong-state    pending
";

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().filter(|line| !line.is_empty()).map(|line| line.split_whitespace().collect())
}

/// The record on which the table tries `event`.
fn prepared(state: HostState, event: &Event) -> HostRecord {
    let record = in_state(state);
    let fails = || result("http", ProbeOutcome::Fail);
    match (state, event) {
        (HostState::Soaking, Event::Failed { .. })
        | (HostState::Converged, Event::Degraded { .. }) => after(record, &[fails()]),
        (HostState::Converged, Event::Recovered {}) => {
            let degraded = Event::Degraded { failing_probes: vec!["http".parse().unwrap()] };
            after(record, &[fails(), degraded, result("http", ProbeOutcome::Pass)])
        }
        _ => record,
    }
}

fn failed_by_the_host() -> HostRecord {
    let record = in_state(HostState::Activating);
    let no_way_back = Event::RollbackFailed { reason: "no".to_owned() };
    after(record, &[activation_failed(FailureClass::Host, true), no_way_back])
}

#[test]
fn every_state_with_every_event() {
    let mut table = rows(EVENTS);
    let header = table.next().unwrap();
    let states: Vec<String> = HostState::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(header[1..], states);
    let mut kinds = BTreeSet::new();
    for row in table {
        kinds.insert(row[0]);
        for (state, expected) in HostState::ALL.into_iter().zip(&row[1..]) {
            let events = every_event(&in_state(state));
            let event = events.iter().find(|e| e.kind() == row[0]).unwrap();
            let record = prepared(state, event);
            let live = leased(record.attempt.0 + 1, true);
            let got = code(&outcome(&record, &live, event));
            assert_eq!(got, *expected, "{state} + {}", row[0]);
        }
    }
    let all = every_event(&in_state(HostState::Pending));
    assert_eq!(kinds, all.iter().map(Event::kind).collect());
}

#[test]
fn every_state_with_every_fact() {
    let mut table = rows(FACTS);
    table.next();
    for (row, fact) in table.zip(ControlFact::ALL) {
        assert_eq!(row[0], fact.as_str());
        for (state, expected) in HostState::ALL.into_iter().zip(&row[1..]) {
            let before = match state {
                HostState::Failed => failed_by_the_host(),
                _ => in_state(state),
            };
            let mut record = before.clone();
            let result = apply_fact(&mut record, fact, at(9)).map(|()| record.state);
            assert_eq!(code(&result), *expected, "{state} + {}", fact.as_str());
            assert!(result.is_ok() || record == before);
        }
    }
}

/// The list at the top of the machine's file is what the code does.
#[test]
fn the_diagram_is_the_code() {
    let mut found: BTreeMap<(HostState, HostState), Vec<&str>> = BTreeMap::new();
    let mut note = |from, to, kind| {
        let kinds = found.entry((from, to)).or_default();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    for from in HostState::ALL {
        for event in every_event(&in_state(from)) {
            for origin in [Origin::Live, Origin::Replay] {
                let record = prepared(from, &event);
                let mut live = leased(record.attempt.0 + 1, true);
                live.origin = origin;
                if let Ok(to) = outcome(&record, &live, &event) {
                    note(from, to, event.kind());
                }
            }
        }
        let snapshots = HostState::ALL.map(in_state).map(Box::new);
        for snapshot in snapshots {
            let opened = Event::JournalOpened { snapshot };
            if let Ok(to) = outcome(&in_state(from), &ctx(Origin::Replay), &opened) {
                note(from, to, opened.kind());
            }
        }
        let degraded = Event::Degraded { failing_probes: vec!["http".parse().unwrap()] };
        for fact in ControlFact::ALL {
            let mut records = vec![in_state(from)];
            if from == HostState::Failed {
                records.push(failed_by_the_host());
            }
            if from == HostState::Converged {
                records.push(after(
                    in_state(from),
                    &[result("http", ProbeOutcome::Fail), degraded.clone()],
                ));
            }
            if from == HostState::Reverted {
                let untouched = activation_failed(FailureClass::Network, false);
                let back = crate::fixtures::rollback_complete();
                records.push(after(in_state(HostState::Activating), &[untouched, back]));
            }
            for mut record in records {
                if apply_fact(&mut record, fact, at(9)).is_ok() {
                    note(from, record.state, fact.as_str());
                }
            }
        }
    }
    let lines: Vec<(String, BTreeSet<&str>)> = found
        .into_iter()
        .map(|((from, to), kinds)| (format!("{from} -> {to}"), kinds.into_iter().collect()))
        .collect();
    let drawn: Vec<(String, BTreeSet<&str>)> = include_str!("../../src/host/mod.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! ")?.split_once(": "))
        .filter(|(arrow, _)| arrow.contains(" -> "))
        .map(|(arrow, kinds)| (arrow.to_owned(), kinds.split(' ').collect()))
        .collect();
    assert_eq!(drawn, lines);
}
