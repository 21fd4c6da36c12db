//! What operators may ask for: what each verb does to hosts in flight, that it is idempotent, and what two
//! operators at once are answered.

use wavegate_control_plane::core::Verb;
use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::ids::{Attempt, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::{ExplainDecision, ReasonKind, RolloutMark, RolloutState};
use wavegate_tests::release_kit::closure;

use crate::harness::{Cp, clear, hours, id, minutes, name, resume, retry, skip};
use crate::{patient, release, with_policy};

const R1: &str = "stable@r1";

fn pause() -> Verb {
    Verb::Pause(id(R1))
}

fn abort() -> Verb {
    Verb::Abort(id(R1))
}

#[test]
fn a_paused_rollout_withdraws_what_is_open_and_lets_hosts_in_flight_finish() {
    let mut cp = Cp::with(&[release("r1", "good", &[2, 1])]);
    cp.ack("host-01");
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.pause(R1);
    assert!(cp.dispatched().is_empty());
    let rollout = cp.rollout(R1);
    assert_eq!((rollout.mark, rollout.state), (Some(RolloutMark::Paused), RolloutState::Active));
    let by = rollout.mark_by.unwrap();
    assert_eq!((by.actor.as_str(), by.reason.as_str()), ("operator/alice", "because"));
    cp.activate("host-01");
    cp.settle("host-01");
    cp.advance(hours(1));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-02"), ["rollout-paused"]);
    cp.resume(R1);
    assert_eq!(cp.rollout(R1).mark, None);
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.converge_all();
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
}

#[test]
fn every_verb_again_is_answered_the_same_and_adds_nothing_to_the_log() {
    let policy = |policy: &mut wavegate_proto::artifact::policy::Policy| {
        policy.waves[1].requires_approval = true;
        policy.max_failures = Limit::Count(1);
    };
    let spec = with_policy(patient(release("r1", "bad", &[3, 1])), policy);
    let mut cp = Cp::with(&[spec]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    let until = Some(cp.now().wall.plus_secs(3600));
    let verbs = [
        pause(),
        resume(R1, false),
        Verb::Approve { rollout_id: id(R1), wave: WaveIndex(1) },
        Verb::Hold { host: name("host-04"), until },
        Verb::Release(name("host-04")),
        clear("stable", &closure("bad")),
        retry(R1, "host-01"),
        skip(R1, "host-02"),
        abort(),
    ];
    for verb in verbs {
        let first = cp.ask(verb.clone()).unwrap();
        let rows = cp.disk.log.len();
        assert_eq!(cp.ask(verb.clone()).unwrap(), first, "{verb:?}");
        assert_eq!(cp.disk.log.len(), rows, "{verb:?} again is no row");
    }
    for kind in [
        "rollout_paused",
        "rollout_resumed",
        "wave_approved",
        "host_held",
        "host_released",
        "quarantine_cleared",
        "host_retried",
        "host_skipped",
        "rollout_aborted",
    ] {
        let row = cp.disk.log.iter().find(|row| row.kind == kind).unwrap();
        assert_eq!(row.actor, "operator/alice", "{kind}");
        assert_eq!(row.payload["reason"], "because", "{kind}");
        assert_eq!(cp.logged(kind), 1, "{kind}");
    }
}

#[test]
fn an_aborted_rollout_is_over_for_everybody_but_those_in_flight() {
    let mut cp = Cp::with(&[release("r1", "good", &[2, 1])]);
    cp.ack("host-01");
    cp.abort(R1);
    let rollout = cp.rollout(R1);
    assert_eq!(rollout.state, RolloutState::Failed);
    assert_eq!(rollout.mark, Some(RolloutMark::Aborted));
    assert_eq!(rollout.halt.unwrap().reason, "aborted");
    assert!(cp.dispatched().is_empty());
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged);
    for verb in
        [pause(), resume(R1, true), Verb::Approve { rollout_id: id(R1), wave: WaveIndex(1) }]
    {
        assert_eq!(cp.refused(&verb), "rollout-finished");
    }
    cp.advance(hours(1));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-02"), ["rollout-aborted"]);
    cp.publish(&[release("r2", "better", &[2, 1])]);
    cp.converge_all();
    assert_eq!(cp.rollout_state("stable@r2"), RolloutState::Terminal);
}

#[test]
fn two_operators_at_once_are_both_answered_what_came_of_it() {
    let mut cp = Cp::with(&[release("r1", "good", &[2])]);
    let first = cp.ask_as("alice", pause(), "disk alarm").unwrap();
    let second = cp.ask_as("bob", pause(), "me too").unwrap();
    assert_eq!(first, second, "the second reads who was first");
    assert_eq!(second["mark_by"]["actor"], "operator/alice");
    let resumed = cp.ask_as("bob", resume(R1, false), "false alarm").unwrap();
    assert!(resumed["mark"].is_null());
    let aborted = cp.ask_as("alice", abort(), "no good").unwrap();
    assert_eq!(aborted["state"], "failed");
    let late = cp.ask_as("bob", resume(R1, false), "go on").unwrap_err();
    assert_eq!(late.code(), "rollout-finished");
    assert!(late.detail.contains("aborted"), "{late:?}");
}

#[test]
fn verbs_on_a_finished_or_superseded_rollout_and_on_nothing_are_refused_by_name() {
    let mut cp = Cp::with(&[release("r1", "good", &[2])]);
    cp.converge_all();
    let approve = Verb::Approve { rollout_id: id(R1), wave: WaveIndex(0) };
    for verb in [pause(), resume(R1, false), abort(), approve.clone(), retry(R1, "host-01")] {
        assert_eq!(cp.refused(&verb), "rollout-finished");
    }
    assert_eq!(cp.refused(&skip(R1, "host-01")), "not-skippable");
    cp.publish(&[release("r2", "next", &[2])]);
    for verb in [pause(), resume(R1, false), abort(), approve, retry(R1, "host-01")] {
        assert_eq!(cp.refused(&verb), "rollout-finished");
    }
    assert_eq!(cp.refused(&Verb::Pause(id("stable@r9"))), "unknown-rollout");
    assert_eq!(cp.refused(&retry("stable@r2", "host-09")), "unknown-host");
    assert_eq!(cp.refused(&Verb::Release(name("host-09"))), "unknown-host");
    assert_eq!(cp.refused(&clear("stable", &closure("good"))), "not-found");
    let wave = Verb::Approve { rollout_id: id("stable@r2"), wave: WaveIndex(1) };
    assert_eq!(cp.refused(&wave), "not-found");
    let past = Some(cp.now().wall);
    assert_eq!(cp.refused(&Verb::Hold { host: name("host-01"), until: past }), "bad-request");
}

#[test]
fn a_wave_waits_for_its_approval_and_no_other_wave_is_approved_by_it() {
    let spec = with_policy(release("r1", "good", &[1, 1, 1]), |policy| {
        policy.waves[1].requires_approval = true;
        policy.waves[2].requires_approval = true;
    });
    let mut cp = Cp::with(&[spec]);
    cp.approve(R1, 2);
    cp.converge("host-01");
    cp.advance(minutes(10));
    assert!(cp.dispatched().is_empty());
    let explained = cp.explain("host-02");
    assert_eq!(explained.decision, ExplainDecision::Wait);
    let reason = &explained.reasons[0];
    assert_eq!((reason.code.as_str(), reason.kind), ("not-approved", ReasonKind::NeedsPerson));
    assert_eq!(cp.rollout(R1).waiting_for[0].gate, "not-approved");
    assert_eq!(cp.logged("gate_changed"), 1, "one row for the wave");
    cp.approve(R1, 1);
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.converge("host-02");
    assert_eq!(cp.dispatched(), ["host-03"], "it was approved before it was reached");
    let waves = cp.rollout(R1).waves;
    assert_eq!(waves[0].approved_by, None);
    assert_eq!(waves[1].approved_by.as_deref(), Some("operator/alice"));
}

#[test]
fn marks_approvals_and_holds_survive_a_restart() {
    let spec = with_policy(release("r1", "good", &[1, 1]), |policy| {
        policy.waves[1].requires_approval = true;
    });
    let mut cp = Cp::with(&[spec]);
    cp.approve(R1, 1);
    cp.hold("host-02", None);
    cp.pause(R1);
    cp.skip(R1, "host-01");
    let before = cp.picture();
    cp.restart();
    cp.everybody_reports();
    crate::harness::equal_but_for(&before, &cp.picture(), &["last_seen_at"]);
    cp.resume(R1);
    assert_eq!(cp.held_by("host-02"), ["held-by-operator"]);
    cp.release("host-02");
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn a_held_host_is_dispatched_nothing_until_the_time_is_up_to_the_second() {
    let mut cp = Cp::with(&[release("r1", "good", &[2])]);
    let until = cp.now().wall.plus_secs(90);
    cp.hold("host-01", Some(until));
    assert_eq!(cp.dispatched(), ["host-02"], "its open dispatch is withdrawn");
    let reason = cp.explain("host-01").reasons.remove(0);
    assert_eq!((reason.code.as_str(), reason.earliest_at), ("held-by-operator", Some(until)));
    assert_eq!(reason.kind, ReasonKind::HeldBack);
    let wakeup = cp.core.next_wakeup().unwrap();
    assert!(wakeup <= cp.now().mono.plus_secs(90), "it is woken when the hold ends: {wakeup:?}");
    cp.skip_time(std::time::Duration::from_secs(89));
    cp.tick();
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.skip_time(std::time::Duration::from_secs(1));
    cp.tick();
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
}

#[test]
fn a_held_host_that_is_in_flight_finishes() {
    let mut cp = Cp::with(&[release("r1", "good", &[1])]);
    cp.ack("host-01");
    cp.hold("host-01", None);
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
    cp.publish(&[release("r2", "next", &[1])]);
    assert_eq!(cp.held_by("host-01"), ["held-by-operator"]);
    cp.release("host-01");
    assert_eq!(cp.dispatched(), ["host-01"]);
}

#[test]
fn g18_only_failures_after_a_resume_count_towards_the_next_halt() {
    let mut cp = Cp::with(&[release("r1", "bad", &[3])]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    assert_eq!(cp.rollout_state(R1), RolloutState::Reverted);
    assert_eq!(cp.refused(&resume(R1, false)), "quarantined");
    cp.resume_and_clear(R1);
    let rollout = cp.rollout(R1);
    assert_eq!((rollout.state, rollout.halt), (RolloutState::Active, None));
    assert_eq!(cp.dispatched(), ["host-02", "host-03"]);
    cp.converge("host-02");
    assert_eq!(cp.rollout_state(R1), RolloutState::Active, "the old failure does not halt again");
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.rollout_state(R1), RolloutState::Active, "nor after a restart");
    cp.fail("host-03");
    assert_eq!(cp.rollout_state(R1), RolloutState::Failed, "a new one does");
    assert_eq!(cp.rollout(R1).halt.unwrap().host, Some(name("host-03")));
}

#[test]
fn a_resumed_rollout_names_the_failed_hosts_it_still_waits_for() {
    let mut cp = Cp::with(&[patient(release("r1", "bad", &[2]))]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    cp.resume_and_clear(R1);
    cp.converge("host-02");
    let rollout = cp.rollout(R1);
    assert_eq!(rollout.state, RolloutState::Active);
    assert_eq!(rollout.waiting_for.len(), 1);
    let waiting = &rollout.waiting_for[0];
    assert_eq!((waiting.host.as_str(), waiting.gate.as_str()), ("host-01", "reverted"));
    assert_eq!(waiting.kind, ReasonKind::NeedsPerson);
    cp.skip(R1, "host-01");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
}

#[test]
fn a_retried_host_goes_out_as_the_next_attempt_and_a_quarantine_stays() {
    let mut cp = Cp::with(&[patient(release("r1", "bad", &[2]))]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    cp.retry(R1, "host-01");
    assert_eq!(cp.state("host-01"), HostState::Pending);
    let codes = cp.held_by("host-01");
    assert!(codes.contains(&"rollout-halted".to_owned()), "{codes:?}");
    assert!(codes.contains(&"quarantined".to_owned()), "{codes:?}");
    cp.resume_and_clear(R1);
    assert_eq!(cp.take_dispatch("host-01").attempt, Attempt(2));
    cp.converge("host-01");
    cp.converge("host-02");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
}

#[test]
fn g8_a_host_is_not_retried_while_it_rolls_back() {
    let mut cp = Cp::with(&[patient(release("r1", "bad", &[2]))]);
    cp.ack("host-02");
    cp.fail("host-01");
    for verb in [retry(R1, "host-01"), retry(R1, "host-02")] {
        assert_eq!(cp.refused(&verb), "not-retryable");
    }
    cp.ask(Verb::RetryFailed(id(R1))).unwrap();
    assert_eq!(cp.logged("host_retried"), 0, "the one that rolls back is left alone");
    cp.roll_back("host-01");
    cp.ask(Verb::RetryFailed(id(R1))).unwrap();
    assert_eq!(cp.logged("host_retried"), 1);
    assert_eq!(cp.state("host-01"), HostState::Pending);
}

#[test]
fn a_host_whose_retries_are_used_up_is_tried_again_from_the_start() {
    let spec = with_policy(patient(release("r1", "good", &[1])), |policy| {
        policy.infra_retries = 1;
        policy.max_infra_failures = Limit::Count(0);
    });
    let mut cp = Cp::with(&[spec]);
    cp.fail_infra("host-01");
    cp.advance(minutes(5));
    cp.fail_infra("host-01");
    cp.advance(hours(2));
    assert!(cp.dispatched().is_empty());
    assert!(cp.rollout(R1).frozen);
    let waiting = &cp.rollout(R1).waiting_for[0];
    assert_eq!(waiting.kind, ReasonKind::NeedsPerson, "{waiting:?}");
    cp.retry(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-01"]);
    assert!(!cp.rollout(R1).frozen, "it thaws by itself");
    cp.fail_infra("host-01");
    cp.advance(minutes(5));
    assert_eq!(cp.dispatched(), ["host-01"], "its retries count anew");
    cp.converge("host-01");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
}

#[test]
fn a_skipped_host_holds_neither_its_wave_nor_its_budget_and_a_retry_brings_it_back() {
    let spec = patient(release("r1", "good", &[2, 1]).budget("all", 1, 1));
    let mut cp = Cp::with(&[spec]);
    assert_eq!(cp.dispatched(), ["host-01"]);
    cp.skip(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-02"], "the slot is free at once");
    cp.converge("host-02");
    cp.converge("host-03");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
    assert_eq!(cp.held_by("host-01"), ["skipped-by-operator"]);
    cp.advance(hours(1));
    assert!(cp.dispatched().is_empty(), "that it speaks does not bring it back");
    // D5: it would fetch its plan, and open and drop a journal, with every heartbeat.
    assert_eq!(cp.heartbeat("host-01").unwrap().bootstrap, [], "there is nothing to keep");
    cp.retry(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-01"]);
    cp.converge("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged);
}

#[test]
fn g13_a_degraded_host_can_be_skipped_and_retried() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[2, 1]))]);
    cp.converge("host-01");
    assert_eq!(cp.refused(&skip(R1, "host-01")), "not-skippable");
    assert_eq!(cp.refused(&retry(R1, "host-01")), "not-retryable");
    cp.degrade("host-01");
    cp.converge("host-02");
    assert_eq!(cp.held_by("host-03"), ["earlier-wave-unhealthy"]);
    cp.skip(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-03"], "it does not hold the next wave any more");
    cp.retry(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-01", "host-03"]);
    cp.converge("host-01");
    cp.converge("host-03");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
}

#[test]
fn g12_a_cleared_quarantine_comes_back_only_with_a_later_attempt() {
    let mut cp = Cp::with(&[patient(release("r1", "bad", &[2]))]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    assert_eq!(cp.quarantines().len(), 1);
    cp.clear("stable", &closure("bad"));
    assert!(cp.quarantines().is_empty());
    let rejection = wavegate_proto::wire::agent::Rejected {
        channel: "stable".parse().unwrap(),
        closure: closure("bad"),
        rollout_id: id(R1),
        attempt: Attempt(1),
    };
    cp.host("host-01").rejected = vec![rejection];
    cp.report("host-01");
    assert!(cp.quarantines().is_empty(), "what it still reports is what was cleared");
    assert!(cp.host("host-01").rejected.is_empty(), "the host is told to drop it");
    cp.restart();
    cp.everybody_reports();
    assert!(cp.quarantines().is_empty(), "nor does a restart bring it back");
    cp.retry(R1, "host-01");
    cp.resume(R1);
    cp.fail("host-01");
    assert_eq!(cp.quarantines().len(), 1, "the second attempt failed as well");
    assert_eq!(cp.quarantines()[0].attempt, Attempt(2));
}

#[test]
fn no_more_hosts_a_minute_are_dispatched_than_the_policy_allows() {
    let spec = with_policy(patient(release("r1", "good", &[5])), |policy| {
        policy.max_dispatch_per_minute = Some(2);
    });
    let mut cp = Cp::with(&[spec]);
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
    let reason = cp.explain("host-03").reasons.remove(0);
    assert_eq!((reason.code.as_str(), reason.kind), ("ramp-used-up", ReasonKind::HeldBack));
    assert_eq!(reason.earliest_at, Some(cp.now().wall.plus_secs(60)));
    assert_eq!(cp.core.next_wakeup(), Some(cp.now().mono.plus_secs(60)));
    cp.advance(std::time::Duration::from_secs(50));
    assert_eq!(cp.dispatched().len(), 2);
    cp.advance(std::time::Duration::from_secs(10));
    assert_eq!(cp.dispatched().len(), 4);
    cp.advance(minutes(1));
    assert_eq!(cp.dispatched().len(), 5);
    assert_eq!(cp.logged("gate_changed"), 1, "one row for the wave, not one a host");
}

#[test]
fn g24_a_wave_that_only_silence_has_finished_goes_on_with_a_persons_approval() {
    let spec = with_policy(release("r1", "good", &[1, 3]), |policy| {
        policy.skip_offline_after_secs = Some(3600);
    });
    let mut cp = Cp::silent_with(&[spec]);
    cp.goes_silent("host-01");
    cp.everybody_reports();
    cp.advance(hours(2));
    assert_eq!(cp.state("host-01"), HostState::Skipped);
    assert!(cp.dispatched().is_empty());
    let waiting = &cp.rollout(R1).waiting_for[0];
    assert_eq!((waiting.gate.as_str(), waiting.kind), ("skipped-offline", ReasonKind::NeedsPerson));
    cp.approve(R1, 1);
    cp.converge_all();
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
}
