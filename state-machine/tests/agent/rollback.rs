//! What follows a failure.

use wavegate_proto::event::FailureClass;
use wavegate_proto::event::ProbeOutcome::Fail;
use wavegate_proto::ids::ClosureId;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_state_machine::agent::{ActivationOutcome, AgentEffect, AgentInput, RollbackOutcome};

use crate::host::Host;
use crate::plans::{Release, THRESHOLD_SECS, closure, probes, release};

fn rollbacks(told: &[AgentEffect]) -> Vec<Option<ClosureId>> {
    let to = |effect: &AgentEffect| match effect {
        AgentEffect::Rollback { to, .. } => Some(to.clone()),
        _ => None,
    };
    told.iter().filter_map(to).collect()
}

fn fails(host: &mut Host, release: &Release) {
    host.soaks(release, 1);
    host.probe(release, "http", Fail);
    host.advance(THRESHOLD_SECS);
    assert_eq!(host.state(release), HostState::Failed);
}

fn activation_failed(host: &mut Host, release: &Release, class: FailureClass, changed: bool) {
    let outcome = ActivationOutcome::Failed {
        class,
        reason: "broken".to_owned(),
        exit_code: None,
        stderr_tail: None,
        changed,
    };
    host.input(AgentInput::ActivationEnded { rollout_id: release.id(), outcome });
}

#[test]
fn a1_a2_a_failed_host_goes_back_to_the_very_closure_that_ran_before() {
    let (mut host, good, bad) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&good, 1);
    fails(&mut host, &bad);
    assert_eq!(rollbacks(&host.take_told()), [Some(closure("a"))]);
    assert!(!host.core.wants_dispatch(host.mono));
    host.rolled_back(&bad, Some(closure("a")));
    host.post_all();
    assert_eq!(host.state(&bad), HostState::Reverted);
    let [AgentEffect::StartProbes { rollout_id, .. }] = &host.take_told()[..] else {
        panic!("what runs again is probed again")
    };
    assert_eq!(*rollout_id, good.id());
    assert!(host.core.wants_dispatch(host.mono));
    assert_eq!(host.disk.rejected.len(), 1);
}

#[test]
fn a_rejected_closure_is_not_taken_again_until_it_is_cleared() {
    let (mut host, bad, again) = (Host::new(), release("r1", 1, "b"), release("r2", 2, "b"));
    fails(&mut host, &bad);
    host.rolled_back(&bad, None);
    host.post_all();
    host.restart();
    host.offer(&again, 1);
    assert_eq!(host.kinds(&again), ["dispatch_reject"]);
    host.post_all();
    let cleared = host.heartbeat().rejected;
    assert_eq!(cleared.len(), 1);
    let mut other = cleared[0].clone();
    other.attempt = other.attempt.next();
    host.heartbeat_answered(|answer| answer.cleared = vec![other]);
    assert_eq!(host.disk.rejected.len(), 1, "cleared is what is named, attempt included");
    host.heartbeat_answered(|answer| answer.cleared = cleared);
    assert_eq!(host.disk.rejected.len(), 0);
    host.offer(&again, 1);
    assert_eq!(host.last_kind(&again), "dispatch_ack");
}

#[test]
fn only_the_artifacts_own_failure_counts_against_it() {
    for class in [FailureClass::Host, FailureClass::Network, FailureClass::Policy] {
        let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
        host.offer(&r1, 1);
        host.post_all();
        activation_failed(&mut host, &r1, class, true);
        assert!(host.core.rejected().is_empty());
        assert_eq!(rollbacks(&host.take_told()), [None]);
    }
}

#[test]
fn where_nothing_was_changed_there_is_nothing_to_roll_back() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    activation_failed(&mut host, &r1, FailureClass::Artifact, false);
    assert_eq!(rollbacks(&host.take_told()), []);
    assert_eq!(host.last_kind(&r1), "rollback_complete");
    assert_eq!(host.state(&r1), HostState::Reverted);
}

#[test]
fn under_halt_the_host_stays_as_it_is() {
    let mut bad = release("r1", 1, "a");
    bad.policy = "halt";
    let mut host = Host::new();
    fails(&mut host, &bad);
    assert_eq!(rollbacks(&host.take_told()), []);
    let failure = host.record(&bad).failure.clone().unwrap();
    assert_eq!(failure.rollback, Rollback::None);
    host.post_all();
    assert!(host.core.wants_dispatch(host.mono));
}

/// A3: an exit code is not evidence that the target runs.
#[test]
fn a3_an_activation_that_ended_with_another_exit_code_has_failed() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    let outcome = ActivationOutcome::Complete { exit_code: 4, changed: true, probes: probes() };
    host.input(AgentInput::ActivationEnded { rollout_id: r1.id(), outcome });
    assert_eq!(host.last_kind(&r1), "activation_failed");
}

/// A4: nothing is begun twice and nothing is left half done.
#[test]
fn a4_a_restart_in_the_middle_goes_on_with_what_was_begun() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    host.restart();
    assert!(matches!(&host.take_told()[..], [AgentEffect::Activate { .. }]));
    assert_eq!(host.kinds(&r1), ["dispatch_ack", "activation_started"]);
    host.activated(&r1);
    host.probe(&r1, "http", Fail);
    host.advance(THRESHOLD_SECS);
    host.restart();
    assert_eq!(rollbacks(&host.take_told()), [None]);
    host.rolled_back(&r1, None);
    host.restart();
    assert_eq!(host.take_told(), []);
    assert_eq!(host.state(&r1), HostState::Reverted);
}

/// A6: a rollback that fails is told, not swallowed.
#[test]
fn a6_a_failed_rollback_is_journaled() {
    for outcome in [
        RollbackOutcome::Failed { reason: "disk full".to_owned() },
        RollbackOutcome::Complete { closure: Some(closure("b")), exit_code: 0 },
        RollbackOutcome::Complete { closure: None, exit_code: 1 },
    ] {
        let (mut host, bad) = (Host::new(), release("r1", 1, "b"));
        fails(&mut host, &bad);
        host.input(AgentInput::RollbackEnded { rollout_id: bad.id(), outcome });
        assert_eq!(host.last_kind(&bad), "rollback_failed");
        host.restart();
        assert_eq!(rollbacks(&host.take_told()), [], "it needs a person");
        let failure = host.record(&bad).failure.clone().unwrap();
        assert_eq!(failure.rollback, Rollback::Failed);
    }
}

/// G9: under `halt` a failed closure runs; the next attempt's way back is the one that had converged.
#[test]
fn g9_the_prior_closure_is_one_that_had_converged() {
    let (mut host, good) = (Host::new(), release("r1", 1, "a"));
    let mut bad = release("r2", 2, "b");
    bad.policy = "halt";
    host.converges(&good, 1);
    fails(&mut host, &bad);
    host.post_all();
    let fix = release("r3", 3, "c");
    host.offer(&fix, 1);
    assert_eq!(host.record(&fix).prior_closure, Some(closure("a")));
}

/// G9 and A1: if none had converged it is the one that ran before, never the target itself.
#[test]
fn g9_without_a_converged_one_it_is_what_ran_before() {
    let mut host = Host::new();
    host.current = Some(closure("before"));
    let mut bad = release("r1", 1, "b");
    bad.policy = "halt";
    host.soaks(&bad, 1);
    host.probe(&bad, "http", Fail);
    host.advance(THRESHOLD_SECS);
    host.post_all();
    let cleared = host.heartbeat().rejected;
    host.heartbeat_answered(|answer| answer.cleared = cleared);
    host.offer(&bad, 2);
    assert_eq!(host.record(&bad).prior_closure, Some(closure("before")));
}

/// A4: killed between the switch and its entry in the journal, and then the closure could not be fetched again.
/// Found by seed 2017 of the simulator's stories.
#[test]
fn a4_a_switch_that_was_never_told_of_is_gone_back_from_when_it_cannot_be_finished() {
    let (mut host, old, new) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&old, 1);
    host.offer(&new, 1);
    host.post_all();
    host.current = Some(closure("b"));
    host.restart();
    host.take_told();
    activation_failed(&mut host, &new, FailureClass::Network, false);
    assert!(host.record(&new).failure.as_ref().unwrap().changed);
    assert_eq!(rollbacks(&host.take_told()), [Some(closure("a"))]);
}
