//! Failures: what halts a rollout, what is quarantined, and how a fix gets through.

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::Attempt;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::agent::Rejected;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::release_kit::closure;

use crate::harness::{Cp, hours, id};
use crate::{release, with_policy};

#[test]
fn e1_a_halted_rollout_dispatches_nothing_though_its_slot_is_free_again() {
    let mut cp = Cp::with(&[release("r1", "bad", &[5]).budget("all", 1, 1)]);
    assert_eq!(cp.dispatched(), ["host-01"]);
    cp.fail("host-01");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Failed);
    assert!(cp.dispatched().is_empty());
    cp.roll_back("host-01");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Reverted);
    cp.advance(hours(30));
    assert_eq!(cp.logged("dispatch_issued"), 1, "the other four were never touched");
    for host in ["host-02", "host-05"] {
        assert_eq!(cp.held_by(host)[0], "rollout-halted");
    }
}

#[test]
fn e1_open_dispatches_are_withdrawn_the_moment_a_rollout_fails() {
    let mut cp = Cp::with(&[release("r1", "bad", &[3])]);
    assert_eq!(cp.dispatched().len(), 3);
    cp.take_dispatch("host-02");
    cp.fail("host-01");
    assert!(cp.dispatched().is_empty());
    let ack = cp.ack_event("host-02", Attempt(1));
    assert_eq!(cp.event("host-02", ack).unwrap_err().code(), "event-refused");
    assert_eq!(cp.state("host-02"), HostState::Pending);
    assert!(cp.dispatch("host-03").is_none());
}

#[test]
fn e9_signing_again_restarts_nothing_and_does_not_turn_a_failed_host_green() {
    let mut cp = Cp::with(&[release("r1", "bad", &[2])]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    let before = cp.picture();
    let rows = cp.disk.log.len();
    cp.publish(&[release("r1", "bad", &[2])]);
    assert_eq!(cp.disk.log.len(), rows + 1, "only release_adopted");
    cp.advance(hours(1));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.state("host-01"), HostState::Reverted);
    let after = cp.picture();
    assert_eq!(before["records"], after["records"]);
    assert_eq!(before["quarantines"], after["quarantines"]);
}

#[test]
fn e16_the_failure_that_exceeds_the_percentage_halts_at_every_size() {
    let table = [(1, 0), (2, 0), (3, 0), (99, 4), (100, 5), (101, 5)];
    for (hosts, tolerated) in table {
        let spec = release("r1", "bad", &[hosts]);
        let mut cp =
            Cp::with(&[with_policy(spec, |policy| policy.max_failures = Limit::Percent(5))]);
        for host in cp.dispatched().into_iter().take(tolerated) {
            cp.fail(&host);
            let state = cp.rollout_state("stable@r1");
            assert_eq!(state, RolloutState::Active, "{tolerated} of {hosts}");
            assert!(cp.quarantines().is_empty(), "{tolerated} of {hosts}");
        }
        let next = cp.dispatched()[0].clone();
        cp.fail(&next);
        assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Failed, "{hosts} hosts");
        assert_eq!(cp.quarantines().len(), 1, "{hosts} hosts");
    }
}

#[test]
fn e18_g17_infra_failures_freeze_first_attempts_and_halt_nothing() {
    let spec = with_policy(release("r1", "good", &[5]).budget("two", 2, 1), |policy| {
        policy.infra_retries = 0;
        policy.max_infra_failures = Limit::Percent(20);
    });
    let mut cp = Cp::with(&[spec]);
    cp.fail_infra("host-01");
    assert!(!cp.rollout("stable@r1").frozen, "one of five is tolerated");
    cp.fail_infra("host-02");
    let rollout = cp.rollout("stable@r1");
    assert!(rollout.frozen && rollout.state == RolloutState::Active);
    assert!(cp.quarantines().is_empty(), "nothing speaks against the closure");
    assert!(cp.held_by("host-05").contains(&"rollout-frozen".to_owned()));
}

#[test]
fn e18_an_infra_failure_is_tried_again_after_its_back_off() {
    let mut cp = Cp::with(&[release("r1", "good", &[1])]);
    cp.fail_infra("host-01");
    assert!(cp.dispatched().is_empty());
    cp.advance(std::time::Duration::from_secs(20));
    assert!(cp.dispatched().is_empty(), "30 s have not passed");
    cp.advance(std::time::Duration::from_secs(20));
    assert_eq!(cp.dispatch("host-01").unwrap().attempt, Attempt(2));
    cp.converge("host-01");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
}

/// E19: what is broken under an earlier rollout does not use up the new one's allowance.
#[test]
fn e19_a_fix_reaches_hosts_that_are_already_broken_before_their_wave() {
    let halt = |spec| with_policy(spec, |p| p.on_health_failure = FailurePolicy::Halt);
    let mut cp = Cp::with(&[release("r1", "good", &[1, 1])]);
    cp.converge_all();
    cp.publish(&[halt(release("r2", "bad", &[1, 1]))]);
    cp.converge("host-01");
    cp.fail("host-02");
    assert_eq!(cp.rollout_state("stable@r2"), RolloutState::Failed);
    cp.publish(&[halt(release("r3", "fix", &[1, 1]))]);
    assert_eq!(cp.dispatched(), ["host-01", "host-02"], "host-02 does not wait for its wave");
    cp.converge("host-02");
    cp.converge("host-01");
    assert_eq!(cp.rollout_state("stable@r3"), RolloutState::Terminal);
}

#[test]
fn e19_a_reverted_host_goes_the_ordinary_way_with_the_fix() {
    let mut cp = Cp::with(&[release("r1", "good", &[1, 1])]);
    cp.converge_all();
    cp.publish(&[release("r2", "bad", &[1, 1])]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    cp.publish(&[release("r3", "fix", &[1, 1])]);
    cp.converge_all();
    assert_eq!(cp.rollout_state("stable@r3"), RolloutState::Terminal);
    assert_eq!(cp.quarantines().len(), 1);
}

#[test]
fn e20_a_halt_is_told_also_when_the_failures_are_of_different_closures() {
    let mut spec = with_policy(release("r1", "bad", &[4]), |p| p.max_failures = Limit::Count(1));
    spec.entries[0].closure = closure("also bad");
    let mut cp = Cp::with(&[spec]);
    cp.fail("host-01");
    cp.advance(std::time::Duration::from_secs(10));
    cp.fail("host-02");
    let rollout = cp.rollout("stable@r1");
    assert_eq!(rollout.state, RolloutState::Failed, "two of the wave failed, one is tolerated");
    let halt = rollout.halt.expect("a halted rollout says why");
    assert_eq!(halt.host.unwrap().as_str(), "host-02");
    assert!(cp.quarantines().is_empty(), "each closure failed on one host only");
}

#[test]
fn g12_a_closure_is_quarantined_when_failures_exceed_the_limit_not_before() {
    let spec = with_policy(release("r1", "bad", &[4]), |p| p.max_failures = Limit::Count(1));
    let mut cp = Cp::with(&[spec]);
    cp.fail("host-01");
    assert!(cp.quarantines().is_empty());
    cp.fail("host-02");
    let quarantines = cp.quarantines();
    assert_eq!(quarantines[0].closure, closure("bad"));
    assert_eq!(quarantines[0].rollout_id, id("stable@r1"));
    cp.roll_back("host-01");
    assert_eq!(cp.quarantines(), quarantines, "whatever the rollback does");
}

fn rejects(cp: &mut Cp, host: &str, rollout: &str, of: &str) {
    let rejected = Rejected {
        channel: "stable".parse().unwrap(),
        closure: closure(of),
        rollout_id: id(rollout),
        attempt: Attempt(1),
    };
    cp.host(host).rejected.push(rejected);
    cp.report(host);
}

#[test]
fn g12_a_rejection_counts_only_with_a_signed_entry() {
    let spec = || release("r1", "one", &[2]);
    let mut cp = Cp::with(&[spec()]);
    rejects(&mut cp, "host-01", "stable@r1", "never signed");
    rejects(&mut cp, "host-01", "stable@r0", "one");
    assert!(cp.quarantines().is_empty());
    rejects(&mut cp, "host-02", "stable@r1", "one");
    assert_eq!(cp.quarantines().len(), 1, "the entry names host-02 and this closure");
}

#[test]
fn g12_failures_and_rejections_of_different_hosts_count_together_in_any_order() {
    for rejection_first in [true, false] {
        let spec = with_policy(release("r1", "bad", &[4]), |p| p.max_failures = Limit::Count(1));
        let mut cp = Cp::with(&[spec]);
        if rejection_first {
            rejects(&mut cp, "host-01", "stable@r1", "bad");
        }
        cp.fail("host-02");
        if !rejection_first {
            rejects(&mut cp, "host-01", "stable@r1", "bad");
        }
        assert_eq!(cp.quarantines().len(), 1, "rejection first: {rejection_first}");
    }
}

#[test]
fn a_rollout_is_reverted_only_when_every_failed_host_is_back_also_across_a_restart() {
    let mut cp = Cp::with(&[release("r1", "bad", &[2])]);
    cp.ack("host-01");
    cp.activate("host-01");
    cp.fail("host-02");
    cp.fail_health("host-01");
    cp.roll_back("host-02");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Failed);
    cp.restart();
    cp.report("host-02");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Failed, "host-01 is not back yet");
    cp.report("host-01");
    cp.roll_back("host-01");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Reverted);
}
