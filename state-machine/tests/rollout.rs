//! The rollout machine: every state with every event, and which event is due.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wavegate_proto::wire::operator::RolloutState;
use wavegate_state_machine::rollout::{RolloutEvent, RolloutTally, next_event, step};

const TABLE: &str = "
event             opening     active      converging  terminal   failed      reverted    superseded pruned
first_dispatch    active      wrong-state wrong-state finished   wrong-state wrong-state finished   finished
wave_done         wrong-state converging  wrong-state finished   wrong-state wrong-state finished   finished
wave_started      wrong-state wrong-state active      finished   wrong-state wrong-state finished   finished
all_done          terminal    terminal    terminal    finished   wrong-state wrong-state finished   finished
failures_exceeded failed      failed      failed      finished   wrong-state failed      finished   finished
rollbacks_done    wrong-state wrong-state wrong-state finished   reverted    wrong-state finished   finished
resumed           wrong-state wrong-state wrong-state finished   active      active      finished   finished
aborted           failed      failed      failed      finished   failed      reverted    finished   finished
superseded        superseded  superseded  superseded  superseded superseded  superseded  finished   finished
pruned            wrong-state wrong-state wrong-state pruned     pruned      pruned      pruned     finished
";

#[test]
fn every_state_with_every_event() {
    let mut rows = TABLE.lines().filter(|l| !l.is_empty()).map(|l| l.split_whitespace());
    let header: Vec<&str> = rows.next().unwrap().skip(1).collect();
    assert_eq!(header, RolloutState::ALL.map(RolloutState::as_str));
    for event in RolloutEvent::ALL {
        let mut row = rows.next().unwrap();
        assert_eq!(row.next().unwrap(), event.as_str());
        for (state, expected) in RolloutState::ALL.into_iter().zip(row) {
            let got = match step(state, event) {
                Ok(next) => next.as_str(),
                Err(refusal) => refusal.code().trim_start_matches("rollout-"),
            };
            assert_eq!(got, expected, "{state} + {event}");
            assert_eq!(event.to_string(), event.as_str());
        }
    }
}

#[test]
fn the_diagram_is_the_code() {
    let mut found: BTreeMap<(RolloutState, RolloutState), String> = BTreeMap::new();
    for state in RolloutState::ALL {
        for event in RolloutEvent::ALL {
            if let Ok(next) = step(state, event) {
                let events = found.entry((state, next)).or_default();
                events.push(' ');
                events.push_str(event.as_str());
            }
        }
    }
    let lines: Vec<String> =
        found.iter().map(|((from, to), events)| format!("{from} -> {to}:{events}")).collect();
    let mut drawn: Vec<String> = include_str!("../src/rollout/mod.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.contains(" -> "))
        .map(str::to_owned)
        .collect();
    let position = |line: &String| lines.iter().position(|l| l == line);
    drawn.sort_by_key(position);
    assert_eq!(drawn, lines);
}

fn run(mut state: RolloutState, tally: &RolloutTally) -> RolloutState {
    for _ in 0..RolloutState::ALL.len() {
        let Some(event) = next_event(state, tally) else {
            return state;
        };
        state = step(state, event).unwrap();
    }
    panic!("the machine does not come to rest from {state} with {tally:?}");
}

fn every_tally() -> impl Iterator<Item = RolloutTally> {
    (0..512_u32).map(|bits| {
        let bit = |n: u32| bits & (1 << n) != 0;
        RolloutTally {
            begun: bit(0),
            current_wave_done: bit(1),
            later_wave_remains: bit(2),
            deferred_remain: bit(3),
            all_done: bit(4),
            artifact_failures_exceed: bit(5),
            failed_hosts_awaiting_rollback: u64::from(bit(6)),
            failed_hosts: u64::from(bit(6)) + u64::from(bit(7)),
            // The caller judges it against the wave that was done.
            next_wave_started: bit(8) && !bit(1),
        }
    })
}

#[test]
fn what_is_due_is_always_allowed_and_comes_to_rest() {
    for state in RolloutState::ALL {
        for tally in every_tally() {
            run(state, &tally);
        }
    }
}

/// G16: a late failure leaves a terminal rollout as it is.
#[test]
fn g16_a_terminal_rollout_stays_terminal() {
    for tally in every_tally() {
        assert_eq!(run(RolloutState::Terminal, &tally), RolloutState::Terminal);
    }
}

#[test]
fn a_rollout_is_reverted_only_when_every_failed_host_is_back() {
    let halted = RolloutTally {
        begun: true,
        artifact_failures_exceed: true,
        failed_hosts: 2,
        failed_hosts_awaiting_rollback: 1,
        ..RolloutTally::default()
    };
    assert_eq!(run(RolloutState::Active, &halted), RolloutState::Failed);
    let back = RolloutTally { failed_hosts_awaiting_rollback: 0, ..halted };
    assert_eq!(run(RolloutState::Failed, &back), RolloutState::Reverted);
    assert_eq!(run(RolloutState::Reverted, &halted), RolloutState::Failed);
    let aborted_without_failures = RolloutTally::default();
    assert_eq!(run(RolloutState::Failed, &aborted_without_failures), RolloutState::Failed);
}

/// Which event each state waits for, and what goes before it.
#[test]
fn what_is_due_in_each_open_state() {
    use RolloutEvent as E;
    use RolloutState as S;
    let none = RolloutTally::default;
    let later = RolloutTally { current_wave_done: true, later_wave_remains: true, ..none() };
    let deferred = RolloutTally { current_wave_done: true, deferred_remain: true, ..none() };
    let last = RolloutTally { current_wave_done: true, ..none() };
    let more = RolloutTally { later_wave_remains: true, deferred_remain: true, ..none() };
    let started = RolloutTally { next_wave_started: true, ..none() };
    let done = RolloutTally { all_done: true, ..later };
    let failed = RolloutTally { artifact_failures_exceed: true, ..done };
    for (case, state, tally, expected) in [
        ("nothing", S::Opening, none(), None),
        ("begun", S::Opening, RolloutTally { begun: true, ..none() }, Some(E::FirstDispatch)),
        ("nothing is done", S::Active, more, None),
        ("nothing is to come", S::Active, last, None),
        ("a wave is to come", S::Active, later, Some(E::WaveDone)),
        ("a reboot is to come", S::Active, deferred, Some(E::WaveDone)),
        ("waits", S::Converging, later, None),
        ("started", S::Converging, started, Some(E::WaveStarted)),
        ("all done", S::Active, done, Some(E::AllDone)),
        ("failures go first", S::Converging, failed, Some(E::FailuresExceeded)),
    ] {
        assert_eq!(next_event(state, &tally), expected, "{state}: {case}");
    }
}

#[test]
fn a_rollout_in_which_nothing_changes_goes_straight_to_terminal() {
    let tally = RolloutTally {
        begun: true,
        current_wave_done: true,
        all_done: true,
        ..RolloutTally::default()
    };
    assert_eq!(run(RolloutState::Opening, &tally), RolloutState::Terminal);
}
