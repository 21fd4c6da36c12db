//! Silence: who is left out, who is taken in again, and whose clock counts.

use wavegate_proto::event::Event;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;

use crate::harness::{Cp, hours, id, minutes, name};
use crate::release;

#[test]
fn an_offline_host_is_held_skipped_and_dispatched_when_it_returns() {
    let mut cp = Cp::silent_with(&[release("r1", "one", &[3])]);
    cp.goes_silent("host-03");
    cp.everybody_reports();
    cp.advance(minutes(1));
    assert_eq!(cp.held_by("host-03"), ["unreported", "never-seen"]);
    cp.converge("host-01");
    cp.converge("host-02");
    cp.advance(hours(25));
    assert_eq!(cp.state("host-03"), HostState::Skipped);
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
    cp.returns("host-03");
    cp.converge("host-03");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
}

/// The pause came before the others were done, and holds who comes after: a person can still end it. Found by seed
/// 704968 of the simulator's stories.
#[test]
fn a_rollout_that_was_paused_before_it_became_terminal_is_resumed_for_a_late_host() {
    let mut cp = Cp::with(&[release("r1", "one", &[3])]);
    cp.goes_silent("host-03");
    cp.converge("host-01");
    cp.ack("host-02");
    cp.activate("host-02");
    cp.pause("stable@r1");
    cp.settle("host-02");
    cp.advance(hours(25));
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
    cp.returns("host-03");
    assert!(cp.held_by("host-03").contains(&"rollout-paused".to_owned()));
    cp.resume("stable@r1");
    cp.converge("host-03");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
}

#[test]
fn a_skipped_host_that_speaks_before_its_heartbeat_is_taken_in_again_all_the_same() {
    let mut cp = Cp::with(&[release("r1", "one", &[3])]);
    cp.fail_infra("host-03");
    cp.goes_silent("host-03");
    cp.converge("host-01");
    cp.converge("host-02");
    cp.advance(hours(25));
    assert_eq!(cp.state("host-03"), HostState::Skipped);
    let drift = Event::DriftCorrected { id: "app".parse().unwrap(), result: "done".to_owned() };
    cp.event("host-03", drift).unwrap();
    cp.returns("host-03");
    cp.converge("host-03");
}

#[test]
fn g24_when_over_half_the_fleet_is_silent_nobody_is_skipped() {
    let mut cp = Cp::with(&[release("r1", "one", &[4]).budget("all", 1, 1)]);
    for host in ["host-01", "host-02", "host-03"] {
        cp.goes_silent(host);
    }
    cp.advance(hours(48));
    assert_eq!(cp.logged("host_skipped"), 0);
    cp.returns("host-01");
    cp.advance(minutes(5));
    assert_eq!(cp.logged("host_skipped"), 2, "half of them is not over half");
}

#[test]
fn g24_silence_is_judged_on_the_monotonic_clock() {
    let mut cp = Cp::with(&[release("r1", "one", &[3]).budget("all", 1, 1)]);
    cp.set_wall_clock_forward(hours(48));
    cp.tick();
    assert_eq!(cp.logged("host_skipped"), 0);
    assert!(!cp.held_by("host-02").contains(&"silent".to_owned()));
}

#[test]
fn g24_silence_counts_from_the_opening_of_the_recovering_gate() {
    let mut cp = Cp::with(&[release("r1", "one", &[3]).budget("all", 1, 1)]);
    cp.goes_silent("host-03");
    cp.advance(hours(23));
    cp.restart();
    cp.advance(hours(2));
    assert_eq!(cp.logged("host_skipped"), 0, "this process has heard it missing for 2 h only");
    cp.advance(hours(23));
    assert_eq!(cp.logged("host_skipped"), 1);
}

#[test]
fn g24_a_wave_in_which_nobody_converged_is_not_done_by_silence() {
    let mut cp = Cp::silent_with(&[release("r1", "one", &[1, 3])]);
    cp.goes_silent("host-01");
    cp.everybody_reports();
    cp.advance(hours(30));
    assert_eq!(cp.state("host-01"), HostState::Skipped);
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-02"), ["earlier-wave"]);
    let waiting = cp.rollout("stable@r1").waiting_for;
    assert_eq!(waiting[0].host, name("host-01"), "E20: it names whom it waits for");
}

#[test]
fn g24_a_wave_whose_only_host_was_lost_is_not_done() {
    let mut cp = Cp::with(&[release("r1", "one", &[1, 3])]);
    cp.ack("host-01");
    cp.goes_silent("host-01");
    cp.advance(minutes(20));
    assert!(cp.core.fleet().placement(&id("stable@r1"), &name("host-01")).unwrap().lost);
    assert!(cp.dispatched().is_empty(), "the closure may be what took it down");
    assert_eq!(cp.rollout("stable@r1").waiting_for[0].host, name("host-01"), "E20");
    cp.returns("host-01");
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.dispatched(), ["host-02", "host-03", "host-04"]);
}

#[test]
fn a_lost_host_is_found_by_its_next_heartbeat() {
    let mut cp = Cp::with(&[release("r1", "one", &[3])]);
    cp.ack("host-01");
    cp.goes_silent("host-01");
    cp.advance(minutes(20));
    let lost =
        |cp: &Cp| cp.core.fleet().placement(&id("stable@r1"), &name("host-01")).unwrap().lost;
    assert!(lost(&cp));
    cp.returns("host-01");
    assert!(!lost(&cp));
    cp.publish(&[release("r2", "two", &[3])]);
    assert_eq!(cp.held_by("host-01"), ["busy-elsewhere"], "it is still at work: G9");
}

#[test]
fn g21_a_removed_host_is_left_out_of_what_it_was_in() {
    let mut cp = Cp::with(&[release("r1", "one", &[3]).budget("all", 1, 1)]);
    cp.ack("host-01");
    let mut without = release("r2", "two", &[3]).budget("all", 1, 1);
    without.entries.remove(0);
    cp.publish(&[without]);
    assert_eq!(cp.dispatched(), ["host-02"], "its slot is free");
    assert_eq!(cp.heartbeat("host-01").unwrap_err().code(), "host-not-in-fleet");
}

/// Nobody hears it any more: what it was found to be would hold the others for ever. Found by seed 656 of the
/// simulator's stories.
#[test]
fn g21_a_host_that_leaves_the_fleet_broken_leaves_its_slot() {
    let spec = |reference, target| release(reference, target, &[2]).budget("all", 1, 1);
    let mut cp = Cp::with(&[spec("r1", "one")]);
    cp.converge_all();
    cp.degrade("host-01");
    let mut without = spec("r2", "two");
    without.entries.remove(0);
    cp.publish(&[without]);
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.restart();
    cp.heartbeat("host-02").unwrap();
    cp.converge("host-02");
}

/// P4: a plan does not look at hosts whose silence can have no consequence yet.
#[test]
fn p4_nobody_is_looked_at_before_silence_has_a_consequence() {
    let mut cp = Cp::with(&[release("r1", "one", &[2, 40])]);
    cp.goes_silent("host-30");
    cp.advance(minutes(10));
    let due = |cp: &Cp| {
        let now = cp.now().mono;
        cp.core.fleet().rollouts[&id("stable@r1")].quiet_hosts(now).count()
    };
    assert_eq!(due(&cp), 0);
    cp.advance(hours(25));
    assert_eq!(cp.state("host-30"), HostState::Skipped);
    assert_eq!(due(&cp), 0);
}
