//! Hosts that do not get on: lost, silent or not; diverged; left out while in flight.

use wavegate_proto::artifact::fleet::Revocation;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::{ReasonKind, RolloutState};
use wavegate_tests::release_kit::closure;

use crate::harness::{Cp, hours, minutes, skip};
use crate::{patient, release, with_policy};

const R1: &str = "stable@r1";

#[test]
fn g6_a_host_that_is_online_and_does_not_get_on_is_lost_and_found_when_it_does() {
    let spec = with_policy(patient(release("r1", "good", &[1, 1])), |policy| {
        policy.activation_timeout_secs = 600;
        policy.await_timeout_secs = 300;
        policy.offline_after_secs = 100;
    });
    let mut cp = Cp::with(&[spec]);
    cp.ack("host-01");
    cp.advance(std::time::Duration::from_secs(990));
    assert_eq!(cp.logged("host_lost"), 0);
    cp.advance(std::time::Duration::from_secs(20));
    assert_eq!(cp.logged("host_lost"), 1, "600 + 300 + 100 seconds are over");
    let reason = cp.explain("host-01").reasons.remove(0);
    assert_eq!((reason.code.as_str(), reason.kind), ("lost", ReasonKind::Stuck));
    assert!(reason.detail.contains("longer than its policy"), "{}", reason.detail);
    assert_eq!(cp.rollout(R1).failures.infra, 1);
    cp.advance(hours(2));
    assert_eq!(cp.logged("host_lost"), 1, "it is told once");
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged);
    assert_eq!(cp.rollout(R1).failures.infra, 0);
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn g6_a_soak_that_never_ends_is_lost_as_well() {
    let spec = with_policy(patient(release("r1", "good", &[1])), |policy| {
        policy.failure_threshold_secs = 30;
        policy.offline_after_secs = 100;
    });
    let mut cp = Cp::with(&[spec]);
    cp.ack("host-01");
    cp.activate("host-01");
    cp.advance(std::time::Duration::from_secs(180));
    assert_eq!(cp.logged("host_lost"), 0);
    cp.advance(std::time::Duration::from_secs(30));
    assert_eq!(cp.logged("host_lost"), 1, "60 + 30 + 100 seconds are over");
}

#[test]
fn g7_a_lost_host_that_is_skipped_counts_again_with_its_first_contact() {
    let spec = patient(release("r1", "good", &[2]).budget("all", 1, 1));
    let mut cp = Cp::with(&[spec]);
    cp.ack("host-01");
    assert_eq!(cp.refused(&skip(R1, "host-01")), "host-in-flight");
    cp.goes_silent("host-01");
    cp.advance(hours(2));
    assert_eq!(cp.held_by("host-02"), ["budget-used-up"], "it is down and keeps its slot");
    cp.skip(R1, "host-01");
    assert_eq!(cp.state("host-01"), HostState::Activating, "a mark beside its state");
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.converge("host-02");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal, "it is done without host-01");
    cp.publish(&[patient(release("r2", "next", &[2]).budget("all", 1, 1))]);
    cp.ack("host-02");
    cp.returns("host-01");
    cp.tick();
    assert!(cp.held_by("host-01").contains(&"busy-elsewhere".to_owned()));
    cp.activate("host-02");
    cp.settle("host-02");
    assert!(cp.dispatched().is_empty(), "its slot counts again");
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.dispatched(), ["host-01"]);
}

/// Seed 807840 of the random stories: another has the slot meanwhile, and for a while two are in flight.
#[test]
fn g7_a_host_that_comes_back_in_flight_has_its_slot_again_though_another_has_it_too() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[3]).budget("all", 1, 1))]);
    cp.ack("host-01");
    cp.goes_silent("host-01");
    cp.advance(hours(2));
    cp.skip(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.ack("host-02");
    cp.returns("host-01");
    cp.activate("host-01");
    cp.activate("host-02");
    cp.settle("host-02");
    assert!(cp.dispatched().is_empty(), "nobody is added while one of them is in flight");
    cp.settle("host-01");
    assert_eq!(cp.dispatched(), ["host-03"]);
}

#[test]
fn g6_a_deferred_host_can_be_skipped_and_counts_again_when_it_has_rebooted() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[2]))]);
    cp.ack("host-01");
    let deferred =
        wavegate_proto::event::Event::ActivationDeferred { component: "kernel".to_owned() };
    cp.event("host-01", deferred).unwrap();
    cp.converge("host-02");
    assert_eq!(cp.rollout_state(R1), RolloutState::Converging);
    cp.skip(R1, "host-01");
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged);
    assert_eq!(cp.rollout(R1).outcome, Some(wavegate_proto::wire::operator::Outcome::Complete));
}

/// E17: a failed host that is down for good does not keep its slot for ever: a person can leave it out.
#[test]
fn e17_a_host_that_died_while_rolling_back_can_be_left_out() {
    let spec = || patient(release("r1", "bad", &[2]).budget("all", 1, 1));
    let mut cp = Cp::with(&[with_policy(spec(), |policy| {
        policy.max_failures = wavegate_proto::artifact::policy::Limit::Count(1);
    })]);
    cp.fail("host-01");
    assert_eq!(cp.refused(&skip(R1, "host-01")), "host-in-flight", "it is rolling back");
    cp.goes_silent("host-01");
    cp.advance(minutes(30));
    assert_eq!(cp.held_by("host-02"), ["budget-used-up"]);
    cp.skip(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn g26_a_converged_host_that_runs_something_else_twice_has_diverged() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[1, 1]))]);
    cp.converge("host-01");
    cp.converge("host-02");
    cp.host("host-01").running = Some(closure("older"));
    cp.report("host-01");
    assert_eq!(cp.logged("host_diverged"), 0, "once may be a switch that was not told yet");
    cp.report("host-01");
    assert_eq!(cp.logged("host_diverged"), 1);
    cp.report("host-01");
    assert_eq!(cp.logged("host_diverged"), 1, "it is told once");
    let reason = cp.explain("host-01").reasons.remove(0);
    assert_eq!((reason.code.as_str(), reason.kind), ("diverged", ReasonKind::Stuck));
    cp.retry(R1, "host-01");
    assert_eq!(cp.dispatched(), ["host-01"]);
    cp.converge("host-01");
    assert!(cp.explain("host-01").reasons.is_empty());
}

#[test]
fn g26_a_diverged_host_holds_later_waves_until_it_runs_its_target_again() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[2, 1]))]);
    cp.converge("host-01");
    cp.host("host-01").running = Some(closure("older"));
    cp.report("host-01");
    cp.report("host-01");
    cp.converge("host-02");
    assert_eq!(cp.held_by("host-03"), ["earlier-wave-unhealthy"]);
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.held_by("host-03"), ["earlier-wave-unhealthy"], "a restart does not forget it");
    cp.host("host-01").running = Some(closure("good"));
    cp.report("host-01");
    assert_eq!(cp.dispatched(), ["host-03"]);
}

#[test]
fn g21_a_host_whose_certificate_is_revoked_is_left_out_until_it_speaks_with_another() {
    let spec = || patient(release("r1", "good", &[2]));
    let mut cp = Cp::with(&[spec()]);
    cp.converge("host-01");
    cp.goes_silent("host-02");
    let not_before = cp.now().wall.truncated_to_secs();
    cp.kit.revoked = vec![Revocation {
        subject: "host/host-02".to_owned(),
        not_before,
        reason: Some("stolen".to_owned()),
    }];
    cp.publish(&[spec()]);
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal, "nobody waits for it");
    cp.publish(&[spec()]);
    assert_eq!(cp.logged("host_skipped"), 1, "the same revocation again changes nothing");
    cp.returns("host-02");
    assert_eq!(cp.dispatched(), ["host-02"], "it has a new certificate, or it would not be heard");
}
