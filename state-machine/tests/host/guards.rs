//! Every guard of the host machine, each with the reason it refuses for.

use wavegate_proto::event::{DeclaredProbe, Event, FailureClass, FailurePolicy, ProbeOutcome};
use wavegate_proto::ids::{Attempt, BlobId, ClosureId, Seq, WaveIndex};
use wavegate_proto::record::{
    HostRecord, HostState, ProbeKind, ProbeMode, ProbeRecord, ProbeStatus, Rollback,
};
use wavegate_state_machine::host::{
    ControlFact, FoldContext, Lease, LostAfter, MAX_SNAPSHOT_ATTEMPT, Origin, Waiting, apply_fact,
    failure_class, fold, is_degraded, is_failed_artifact, is_in_flight, is_lost, uses_slot,
};

use crate::fixtures::{
    SOAK_SECS, THRESHOLD_SECS, ack, activation_failed, after, at, code, complete, converged, ctx,
    failed, in_state, leased, outcome, pending, prior, probe, result, rollback_complete, target,
    topology,
};

fn other() -> ClosureId {
    ClosureId::Bundle(BlobId::of(b"other"))
}

fn live() -> FoldContext {
    ctx(Origin::Live)
}

fn check(record: &HostRecord, ctx: &FoldContext, event: &Event, expected: &str) {
    assert_eq!(code(&outcome(record, ctx, event)), expected, "{} {event:?}", record.state);
}

fn names(names: &[&str]) -> Vec<wavegate_proto::ids::ProbeName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn g4_an_acknowledgement_needs_the_open_dispatch_of_its_attempt() {
    let record = pending();
    check(&record, &live(), &ack(1), "no-lease");
    check(&record, &leased(2, false), &ack(1), "wrong-attempt");
    let lapsed = FoldContext { lease: Lease::Lapsed { attempt: Attempt(1) }, ..live() };
    check(&record, &lapsed, &ack(1), "lease-lapsed");
    check(&record, &leased(1, false), &ack(1), "activating");
}

#[test]
fn g5_a_replayed_acknowledgement_needs_a_later_attempt() {
    let record = in_state(HostState::Reverted);
    check(&record, &ctx(Origin::Replay), &ack(1), "attempt-not-later");
    check(&record, &ctx(Origin::Replay), &ack(3), "activating");
    check(&in_state(HostState::Activating), &ctx(Origin::Replay), &ack(2), "wrong-state");
}

/// Nothing of an earlier attempt is left on the next one.
#[test]
fn a_new_attempt_begins_with_an_empty_table() {
    let record = after(in_state(HostState::Reverted), &[ack(2)]);
    let first = after(pending(), &[ack(1)]);
    assert_eq!(record, HostRecord { attempt: Attempt(2), ..first });
}

#[test]
fn a_host_carries_only_when_the_dispatch_says_that_nothing_changes() {
    let carried = |closure| Event::Carried {
        closure,
        from_rollout: "stable@r0".parse().unwrap(),
        probes: vec![probe("http", ProbeMode::Enforce)],
    };
    let record = pending();
    check(&record, &live(), &carried(target()), "no-lease");
    check(&record, &leased(1, false), &carried(target()), "not-no-change");
    let lapsed = FoldContext { lease: Lease::Lapsed { attempt: Attempt(1) }, ..live() };
    check(&record, &lapsed, &carried(target()), "lease-lapsed");
    let probes = vec![probe("http", ProbeMode::Enforce); 2];
    let from_rollout = "stable@r0".parse().unwrap();
    let twice = Event::Carried { closure: target(), from_rollout, probes };
    check(&record, &leased(1, true), &twice, "duplicate-probe");
    check(&record, &leased(1, true), &carried(other()), "not-target-closure");
    check(&record, &ctx(Origin::Replay), &carried(target()), "converged");
    let record = after(record, &[carried(target())]);
    assert_eq!(record.attempt, Attempt(0));
    assert!(record.topology_known);
    let unknown = ProbeStatus::Unknown;
    assert!(record.probes.iter().all(|p| p.status == unknown), "health is not carried");
}

#[test]
fn a3_activation_is_complete_only_with_the_target_and_exit_code_0() {
    let record = in_state(HostState::Activating);
    let event =
        |closure, exit_code| Event::ActivationComplete { closure, exit_code, changed: true };
    check(&record, &live(), &event(other(), 0), "not-target-closure");
    check(&record, &live(), &event(target(), 4), "bad-exit-code");
    check(&record, &live(), &event(target(), 0), "soaking");
}

/// E3: soak begins when this host's activation is complete.
#[test]
fn e3_soak_is_counted_from_activation() {
    let mut record = in_state(HostState::Activating);
    fold(&mut record, &live(), at(500), &complete()).unwrap();
    assert_eq!(record.activation_completed_at, Some(at(500)));
    let record = after(record, &[topology(), result("http", ProbeOutcome::Pass)]);
    check(&record, &live(), &converged(SOAK_SECS - 1), "soak-not-over");
    check(&record, &live(), &converged(SOAK_SECS), "converged");
}

#[test]
fn e7_a_probe_that_never_reported_holds_convergence() {
    let activated = after(in_state(HostState::Activating), &[complete()]);
    check(&activated, &live(), &converged(SOAK_SECS), "topology-unknown");
    let declared = after(activated, &[topology()]);
    check(&declared, &live(), &converged(SOAK_SECS), "probe-not-passed");
    let failing = after(declared.clone(), &[result("http", ProbeOutcome::Fail)]);
    check(&failing, &live(), &converged(SOAK_SECS), "probe-not-passed");
    let passing = after(declared, &[result("http", ProbeOutcome::Pass)]);
    check(&passing, &live(), &converged(SOAK_SECS), "converged");
    let wrong = Event::Converged { closure: other(), soaked_secs: SOAK_SECS };
    check(&passing, &live(), &wrong, "not-target-closure");
}

/// E7: a host without probes reports so; only then may it converge.
#[test]
fn e7_an_empty_probe_table_is_reported_too() {
    let activated = after(in_state(HostState::Activating), &[complete()]);
    let none = after(activated, &[Event::ProbeTopology { probes: vec![] }]);
    check(&none, &live(), &converged(SOAK_SECS), "converged");
}

#[test]
fn declared_probes_are_a_set_of_known_size() {
    let record = in_state(HostState::Soaking);
    let twice = vec![probe("http", ProbeMode::Enforce), probe("http", ProbeMode::Observe)];
    check(&record, &live(), &Event::ProbeTopology { probes: twice }, "duplicate-probe");
    let many = (0..257).map(|n| probe(&format!("p{n}"), ProbeMode::Observe)).collect();
    check(&record, &live(), &Event::ProbeTopology { probes: many }, "too-many-probes");
    let as_many_as_may_be = (0..256).map(|n| probe(&format!("p{n}"), ProbeMode::Observe)).collect();
    check(&record, &live(), &Event::ProbeTopology { probes: as_many_as_may_be }, "soaking");
    check(&record, &live(), &result("disc", ProbeOutcome::Pass), "undeclared-probe");
}

/// What a probe has reported stands only while it is the very same probe.
#[test]
fn e7_a_probe_that_is_declared_otherwise_has_not_reported() {
    let passing = in_state(HostState::Soaking);
    let status = |declared: DeclaredProbe| {
        let again = after(passing.clone(), &[Event::ProbeTopology { probes: vec![declared] }]);
        again.probes[0].status
    };
    let same = probe("http", ProbeMode::Enforce);
    assert_eq!(status(same.clone()), ProbeStatus::Pass);
    assert_eq!(status(probe("https", ProbeMode::Enforce)), ProbeStatus::Unknown);
    assert_eq!(status(probe("http", ProbeMode::Observe)), ProbeStatus::Unknown);
    assert_eq!(status(DeclaredProbe { kind: ProbeKind::Tcp, ..same }), ProbeStatus::Unknown);
}

#[test]
fn e6_e8_a_pass_clears_failing_since() {
    let mut record = in_state(HostState::Soaking);
    let since = |record: &HostRecord| record.probes.iter().find_map(|p| p.failing_since);
    for (secs, status, expected) in [
        (10, ProbeOutcome::Fail, Some(at(10))),
        (20, ProbeOutcome::Fail, Some(at(10))),
        (30, ProbeOutcome::Pass, None),
        (40, ProbeOutcome::Fail, Some(at(40))),
    ] {
        fold(&mut record, &live(), at(secs), &result("http", status)).unwrap();
        assert_eq!(since(&record), expected, "at {secs} s");
    }
}

#[test]
fn a_host_fails_only_by_enforce_probes_failing_for_long_enough() {
    let healthy = in_state(HostState::Soaking);
    check(&healthy, &live(), &failed(THRESHOLD_SECS), "probe-not-failing");
    let fails = [result("http", ProbeOutcome::Fail), result("disk", ProbeOutcome::Fail)];
    let failing = after(healthy, &fails);
    check(&failing, &live(), &failed(THRESHOLD_SECS - 1), "threshold-not-reached");
    let event = |failing_probes, policy| Event::Failed {
        failing_probes,
        sustained_secs: THRESHOLD_SECS,
        policy,
    };
    let signed = FailurePolicy::RollbackAndHalt;
    check(&failing, &live(), &event(vec![], signed), "no-failing-probe");
    check(&failing, &live(), &event(names(&["disk"]), signed), "probe-not-failing");
    check(&failing, &live(), &event(names(&["http"]), FailurePolicy::Halt), "wrong-policy");
    check(&failing, &live(), &event(names(&["http"]), signed), "failed");
}

#[test]
fn what_follows_a_failure_is_the_signed_policy() {
    let activating = in_state(HostState::Activating);
    let rollback = |record: &HostRecord| record.failure.as_ref().unwrap().rollback;
    let event = activation_failed(FailureClass::Artifact, true);
    assert_eq!(
        rollback(&after(activating.clone(), std::slice::from_ref(&event))),
        Rollback::Running
    );
    let halt = FoldContext { on_health_failure: FailurePolicy::Halt, ..live() };
    let mut halted = activating;
    fold(&mut halted, &halt, at(2), &event).unwrap();
    assert_eq!(rollback(&halted), Rollback::None);
    check(&halted, &halt, &rollback_complete(), "no-rollback-due");
    let no = Event::RollbackFailed { reason: "no".to_owned() };
    check(&halted, &halt, &no, "no-rollback-due");
}

#[test]
fn a1_a_rollback_leads_to_the_prior_closure_and_nowhere_else() {
    let record = in_state(HostState::Failed);
    assert_eq!(record.prior_closure, Some(prior()));
    let back = |closure, exit_code| Event::RollbackComplete { closure, exit_code };
    check(&record, &live(), &back(Some(target()), 0), "not-prior-closure");
    check(&record, &live(), &back(None, 0), "not-prior-closure");
    check(&record, &live(), &back(Some(prior()), 1), "bad-exit-code");
    check(&record, &live(), &back(Some(prior()), 0), "reverted");
    let stuck = after(record, &[Event::RollbackFailed { reason: "no".to_owned() }]);
    assert_eq!(stuck.failure.as_ref().unwrap().rollback, Rollback::Failed);
    check(&stuck, &live(), &rollback_complete(), "reverted");
}

#[test]
fn degraded_and_recovered_follow_the_probes() {
    let degraded = |list: &[&str]| Event::Degraded { failing_probes: names(list) };
    let healthy = in_state(HostState::Converged);
    check(&healthy, &live(), &degraded(&[]), "no-failing-probe");
    check(&healthy, &live(), &degraded(&["http"]), "probe-not-failing");
    check(&healthy, &live(), &Event::Recovered {}, "not-degraded");
    let sick = after(healthy, &[result("http", ProbeOutcome::Fail), degraded(&["http"])]);
    assert!(is_degraded(&sick) && uses_slot(&sick));
    check(&sick, &live(), &degraded(&["http"]), "already-degraded");
    check(&sick, &live(), &Event::Recovered {}, "probe-not-passed");
    let well = after(sick, &[result("http", ProbeOutcome::Pass), Event::Recovered {}]);
    assert!(!is_degraded(&well) && !uses_slot(&well));
}

/// E4, and facts of the control plane: it never says that a host is healthy.
#[test]
fn e4_the_control_plane_asserts_no_health_on_its_own() {
    let synthetic = ctx(Origin::Synthetic);
    let soaking = in_state(HostState::Soaking);
    check(&soaking, &synthetic, &converged(SOAK_SECS), "synthetic-health");
    check(&soaking, &synthetic, &result("http", ProbeOutcome::Pass), "synthetic-health");
    check(&in_state(HostState::Converged), &synthetic, &Event::Recovered {}, "synthetic-health");
    check(&pending(), &synthetic, &ack(1), "activating");
    let mut record = in_state(HostState::Deferred);
    fold(&mut record, &synthetic, at(3), &complete()).unwrap();
    assert!(record.synthetic && !record.topology_known);
    fold(&mut record, &live(), at(4), &topology()).unwrap();
    assert!(!record.synthetic);
}

#[test]
fn a_rejection_after_pending_needs_a_dispatch_or_a_replay() {
    let reject = Event::DispatchReject { reason: "stale".to_owned(), detail: None };
    let record = in_state(HostState::Reverted);
    check(&record, &live(), &reject, "no-lease");
    check(&record, &ctx(Origin::Replay), &reject, "reverted");
    check(&pending(), &live(), &reject, "pending");
}

fn opened(edit: impl FnOnce(&mut HostRecord)) -> Event {
    let mut snapshot = in_state(HostState::Converged);
    edit(&mut snapshot);
    Event::JournalOpened { snapshot: Box::new(snapshot) }
}

#[test]
fn g5_what_a_snapshot_may_say() {
    let replay = ctx(Origin::Replay);
    let refused = |edit: fn(&mut HostRecord), reason| {
        check(&pending(), &replay, &opened(edit), reason);
    };
    refused(|_| {}, "converged");
    refused(|s| s.host = "web-2".parse().unwrap(), "foreign-snapshot");
    refused(|s| s.rollout_id = "stable@r2".parse().unwrap(), "foreign-snapshot");
    refused(|s| s.target_closure = other(), "foreign-snapshot");
    refused(|s| s.wave = WaveIndex(1), "foreign-snapshot");
    refused(|s| s.channel = "edge".parse().unwrap(), "foreign-snapshot");
    refused(|s| s.attempt = MAX_SNAPSHOT_ATTEMPT, "converged");
    refused(|s| s.attempt = MAX_SNAPSHOT_ATTEMPT.next(), "bad-snapshot");
    refused(|s| s.probes = many_probes(256), "converged");
    refused(|s| s.probes = many_probes(257), "bad-snapshot");
    refused(|s| s.probes = vec![s.probes[0].clone(); 2], "bad-snapshot");
    refused(|s| s.state = HostState::Activating, "activating");
    refused(|s| s.state = HostState::Soaking, "soaking");
    refused(|s| s.state = HostState::Skipped, "bad-snapshot");
    refused(|s| s.state = HostState::Failed, "bad-snapshot");
    refused(|s| s.current_closure = Some(prior()), "bad-snapshot");
    refused(|s| s.topology_known = false, "topology-unknown");
    refused(|s| s.probes.reverse(), "bad-snapshot");
    refused(|s| s.probes[1].status = ProbeStatus::Unknown, "probe-not-passed");
    refused(
        |s| {
            s.state = HostState::Soaking;
            s.activation_completed_at = None;
        },
        "bad-snapshot",
    );
    refused(
        |s| {
            s.state = HostState::Soaking;
            s.degraded_since = Some(at(1));
        },
        "bad-snapshot",
    );
}

fn many_probes(count: usize) -> Vec<ProbeRecord> {
    let soaking = in_state(HostState::Soaking);
    let mut one = soaking.probes.into_iter().find(|p| p.status == ProbeStatus::Pass).unwrap();
    let named = |n| {
        one.name = format!("p{n:03}").parse().unwrap();
        one.clone()
    };
    (0..count).map(named).collect()
}

/// A snapshot of a failure says how it failed; one of a degraded host, what its probes say.
#[test]
fn g5_what_a_snapshot_of_trouble_may_say() {
    let check_of = |state: HostState, edit: fn(&mut HostRecord), expected: &str| {
        let mut snapshot = in_state(state);
        edit(&mut snapshot);
        let event = Event::JournalOpened { snapshot: Box::new(snapshot) };
        check(&pending(), &ctx(Origin::Replay), &event, expected);
    };
    for state in [HostState::Failed, HostState::Reverted] {
        check_of(state, |_| {}, state.as_str());
        check_of(state, |s| s.failure = None, "bad-snapshot");
    }
    let degrades = |s: &mut HostRecord| s.degraded_since = Some(at(1));
    check_of(HostState::Converged, degrades, "converged");
    check_of(
        HostState::Converged,
        |s| {
            s.degraded_since = Some(at(1));
            s.probes[1].status = ProbeStatus::Fail;
        },
        "converged",
    );
    check_of(
        HostState::Converged,
        |s| {
            s.degraded_since = Some(at(1));
            s.probes[1].status = ProbeStatus::Unknown;
        },
        "bad-snapshot",
    );
    check_of(
        HostState::Converged,
        |s| {
            s.degraded_since = Some(at(1));
            s.topology_known = false;
        },
        "bad-snapshot",
    );
    check_of(HostState::Soaking, |s| s.current_closure = Some(prior()), "bad-snapshot");
    check_of(HostState::Reverted, degrades, "bad-snapshot");
}

/// What the control plane knows itself of a record stays: its journal, and when it dispatched.
#[test]
fn g5_a_snapshot_does_not_replace_what_the_receiver_knows_itself() {
    let dispatched = |secs| Some(at(secs));
    let event = opened(|s| s.dispatched_at = Some(at(77)));
    let journal_id = "00000000-0000-4000-8000-000000000001".parse().ok();
    let known = HostRecord { journal_id, last_seq: Seq(9), ..pending() };
    for (own, expected) in [(dispatched(5), dispatched(5)), (None, dispatched(77))] {
        let mut record = HostRecord { dispatched_at: own, ..known.clone() };
        fold(&mut record, &ctx(Origin::Replay), at(9), &event).unwrap();
        assert_eq!((record.journal_id, record.last_seq), (journal_id, Seq(9)));
        assert_eq!((record.state, record.dispatched_at), (HostState::Converged, expected));
    }
    let mut open = known.clone();
    fold(&mut open, &live(), at(9), &event).unwrap();
    assert_eq!(open, known, "a live journal that is open already is not filled");
}

#[test]
fn a_snapshot_fills_only_a_record_in_which_nothing_has_happened() {
    let snapshot = in_state(HostState::Converged);
    let event = opened(|_| {});
    let mut fresh = pending();
    fold(&mut fresh, &live(), at(9), &event).unwrap();
    assert_eq!(fresh, snapshot);
    let mut retried = in_state(HostState::Reverted);
    apply_fact(&mut retried, ControlFact::Retry, at(9)).unwrap();
    for record in [in_state(HostState::Failed), retried] {
        for origin in [Origin::Live, Origin::Replay] {
            let mut stands = record.clone();
            fold(&mut stands, &ctx(origin), at(9), &event).unwrap();
            assert_eq!(stands, record);
        }
    }
    check(&pending(), &ctx(Origin::Synthetic), &event, "replay-only");
}

#[test]
fn g8_no_retry_while_a_rollback_is_due() {
    let rolling = in_state(HostState::Failed);
    let retry = |record: &HostRecord, fact| {
        let mut next = record.clone();
        code(&apply_fact(&mut next, fact, at(9)).map(|()| next.state))
    };
    assert_eq!(retry(&rolling, ControlFact::Retry), "not-retryable");
    assert_eq!(retry(&rolling, ControlFact::Skip), "host-in-flight");
    assert_eq!(retry(&rolling, ControlFact::RetryLost), "pending");
    let untouched =
        after(in_state(HostState::Activating), &[activation_failed(FailureClass::Host, false)]);
    assert_eq!(retry(&untouched, ControlFact::InfraRetry), "pending");
    let artifact = after(in_state(HostState::Failed), &[rollback_complete()]);
    assert_eq!(retry(&artifact, ControlFact::InfraRetry), "not-retryable");
    assert_eq!(retry(&artifact, ControlFact::Retry), "pending");
}

#[test]
fn g19_g6_who_uses_a_slot() {
    for (state, uses) in [
        (HostState::Pending, false),
        (HostState::Activating, true),
        (HostState::Deferred, true),
        (HostState::Soaking, true),
        (HostState::Converged, false),
        (HostState::Failed, true),
        (HostState::Reverted, false),
        (HostState::Skipped, false),
    ] {
        assert_eq!(uses_slot(&in_state(state)), uses, "{state}");
    }
    let untouched =
        after(in_state(HostState::Activating), &[activation_failed(FailureClass::Host, false)]);
    assert!(!uses_slot(&untouched));
    assert_eq!(failure_class(&untouched), Some(FailureClass::Host));
    assert!(!is_failed_artifact(&untouched) && is_in_flight(&untouched));
    assert!(is_failed_artifact(&in_state(HostState::Reverted)));
    assert_eq!(failure_class(&in_state(HostState::Converged)), None);
    // A record of an older build may have no failure in it.
    let bare = HostRecord { failure: None, ..in_state(HostState::Failed) };
    check(&bare, &live(), &rollback_complete(), "no-rollback-due");
}

#[test]
fn g6_lost_is_silent_or_stuck_for_longer_than_the_policy_explains() {
    let after = LostAfter {
        activation_timeout_secs: 900,
        await_timeout_secs: 3600,
        offline_after_secs: 180,
        soak_secs: 30,
        failure_threshold_secs: 60,
    };
    for (state, silent_secs, in_state_secs, lost) in [
        (HostState::Activating, 1080, 1080, false),
        (HostState::Activating, 1081, 1081, true),
        (HostState::Activating, 0, 4680, false),
        (HostState::Activating, 0, 4681, true),
        (HostState::Soaking, 0, 270, false),
        (HostState::Soaking, 0, 271, true),
        (HostState::Deferred, 99_999, 99_999, false),
        (HostState::Converged, 99_999, 99_999, false),
    ] {
        let waiting = Waiting { silent_secs, in_state_secs };
        assert_eq!(is_lost(&in_state(state), waiting, after), lost, "{state} {waiting:?}");
    }
}
