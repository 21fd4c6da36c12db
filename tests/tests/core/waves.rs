//! Waves, soak, probes, channel order: who goes when.

use std::time::Duration;

use wavegate_proto::event::{Event, ProbeOutcome};
use wavegate_proto::ids::WaveIndex;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::{ExplainDecision, RolloutState};
use wavegate_tests::release_kit::closure;

use crate::harness::{Cp, hours, id, minutes};
use crate::{after, on_channel, patient, release};

#[test]
fn e3_soak_counts_from_each_hosts_own_activation() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[1, 1]))]);
    cp.converge("host-01");
    cp.advance(hours(5));
    cp.ack("host-02");
    cp.activate("host-02");
    cp.probe("host-02", ProbeOutcome::Pass);
    let closure = closure("one");
    let at_once = Event::Converged { closure, soaked_secs: 59 };
    let problem = cp.event("host-02", at_once).unwrap_err();
    assert_eq!(problem.reason.as_deref(), Some("soak-not-over"));
    assert_eq!(cp.state("host-02"), HostState::Soaking);
    cp.settle("host-02");
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
}

#[test]
fn e7_a_probe_that_never_reported_holds_convergence() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    cp.activate("host-01");
    let converged = Event::Converged { closure: closure("one"), soaked_secs: 600 };
    let problem = cp.event("host-01", converged).unwrap_err();
    assert_eq!(problem.reason.as_deref(), Some("probe-not-passed"));
}

#[test]
fn e8_a_probe_that_passes_again_opens_the_gate() {
    let mut cp = Cp::with(&[release("r1", "one", &[1, 1])]);
    cp.converge("host-01");
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.advance(Duration::from_secs(100));
    cp.probe("host-01", ProbeOutcome::Fail);
    cp.advance(minutes(5));
    assert!(cp.dispatched().is_empty());
    assert!(cp.held_by("host-02").contains(&"earlier-wave-unhealthy".to_owned()));
    cp.probe("host-01", ProbeOutcome::Pass);
    assert_eq!(cp.dispatched(), ["host-02"]);
}

/// E13: who is in a wave is signed, not counted from who is there.
#[test]
fn e13_joining_hosts_do_not_move_the_wave_cursor() {
    let mut cp = Cp::silent_with(&[release("r1", "one", &[1, 2])]);
    cp.report("host-03");
    cp.report("host-02");
    cp.goes_silent("host-01");
    cp.advance(minutes(10));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.rollout("stable@r1").current_wave, WaveIndex(0));
    assert_eq!(cp.held_by("host-03"), ["earlier-wave"]);
    cp.returns("host-01");
    assert_eq!(cp.dispatched(), ["host-01"]);
    cp.converge("host-01");
    assert_eq!(cp.dispatched(), ["host-02", "host-03"], "in the same batch");
}

#[test]
fn e15_a_finished_predecessor_channel_does_not_block() {
    let edge = on_channel("edge", release("e1", "one", &[1]));
    let stable = after(release("r1", "one", &[1]), "edge");
    let mut cp = Cp::with(&[edge.clone(), stable]);
    assert_eq!(cp.dispatched(), ["edge-01"]);
    assert_eq!(cp.held_by("host-01"), ["channel-not-done"]);
    cp.converge("edge-01");
    assert_eq!(cp.dispatched(), ["host-01"]);
    cp.converge("host-01");
    cp.publish(&[edge, after(release("r2", "two", &[1]), "edge")]);
    assert_eq!(cp.dispatched(), ["host-01"], "edge has nothing to do");
}

#[test]
fn e15_a_powered_off_host_does_not_block_the_next_channel_for_ever() {
    let edge = on_channel("edge", release("e1", "one", &[2]));
    let mut cp = Cp::silent_with(&[edge, after(release("r1", "one", &[2]), "edge")]);
    cp.goes_silent("edge-02");
    cp.everybody_reports();
    cp.advance(minutes(1));
    cp.converge("edge-01");
    cp.advance(hours(23));
    assert_eq!(cp.held_by("host-01"), ["channel-not-done"]);
    cp.advance(hours(2));
    assert_eq!(cp.rollout_state("edge@e1"), RolloutState::Terminal);
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
}

#[test]
fn e15_g16_a_terminal_predecessor_stays_done_while_it_serves_a_late_host() {
    let edge = on_channel("edge", release("e1", "one", &[2]));
    let stable = after(patient(release("r1", "one", &[2]).budget("all", 1, 1)), "edge");
    let mut cp = Cp::silent_with(&[edge, stable]);
    cp.goes_silent("edge-02");
    cp.everybody_reports();
    cp.advance(minutes(1));
    cp.converge("edge-01");
    cp.advance(hours(25));
    cp.converge("host-01");
    cp.returns("edge-02");
    cp.ack("edge-02");
    cp.advance(minutes(1));
    assert_eq!(cp.rollout_state("edge@e1"), RolloutState::Terminal);
    let held = cp.held_by("host-02");
    assert!(!held.contains(&"channel-not-done".to_owned()), "{held:?}");
}

#[test]
fn g20_channel_order_is_transitive_also_past_a_channel_with_nothing_to_do() {
    let channel = |name: &str, reference: &str, target: &str| {
        on_channel(name, release(reference, target, &[1]))
    };
    let all = |c: &str, a: &str| {
        [channel("a", a, a), after(channel("b", "b1", "b1"), "a"), after(channel("c", c, c), "b")]
    };
    let mut cp = Cp::with(&all("c1", "a1"));
    cp.converge_all();
    assert_eq!(cp.rollout_state("c@c1"), RolloutState::Terminal);
    cp.publish(&all("c2", "a2"));
    assert_eq!(cp.dispatched(), ["a-01"]);
    assert_eq!(cp.held_by("c-01"), ["channel-not-done"]);
}

#[test]
fn e14_two_channels_with_one_ref_are_two_rollouts() {
    let edge = on_channel("edge", release("r1", "one", &[1]));
    let mut cp = Cp::with(&[edge, release("r1", "two", &[1])]);
    cp.converge("edge-01");
    assert_eq!(cp.rollout_state("edge@r1"), RolloutState::Terminal);
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Active);
    cp.fail("host-01");
    assert_eq!(cp.rollout_state("edge@r1"), RolloutState::Terminal);
    assert_eq!(cp.quarantines()[0].channel.as_str(), "stable");
}

#[test]
fn host_edges_hold_until_the_predecessor_converged() {
    let mut spec = release("r1", "one", &[2]);
    spec.entries[0].after = vec!["host-02".parse().unwrap()];
    let mut cp = Cp::with(&[spec]);
    assert_eq!(cp.dispatched(), ["host-02"]);
    assert_eq!(cp.held_by("host-01"), ["predecessor-not-converged"]);
    cp.ack("host-02");
    cp.activate("host-02");
    assert!(cp.dispatched().is_empty(), "soaking is not converged");
    cp.settle("host-02");
    assert_eq!(cp.dispatched(), ["host-01"]);
}

#[test]
fn e20_every_host_that_is_not_done_names_what_it_waits_for() {
    let mut cp = Cp::silent_with(&[patient(release("r1", "one", &[3, 2]).budget("all", 2, 1))]);
    let hosts = ["host-01", "host-02", "host-03", "host-04", "host-05"];
    let check = |cp: &mut Cp| {
        for host in hosts {
            let explained = cp.explain(host);
            let waits = match explained.decision {
                ExplainDecision::Wait | ExplainDecision::Failed => true,
                ExplainDecision::Dispatch | ExplainDecision::InFlight | ExplainDecision::Done => {
                    false
                }
            };
            assert!(!waits || !explained.reasons.is_empty(), "{explained:?}");
        }
        let rollout = cp.rollout("stable@r1");
        let over = [RolloutState::Terminal, RolloutState::Failed, RolloutState::Reverted];
        assert!(over.contains(&rollout.state) || !rollout.waiting_for.is_empty(), "{rollout:?}");
    };
    check(&mut cp);
    cp.everybody_reports();
    check(&mut cp);
    cp.ack("host-01");
    check(&mut cp);
    cp.activate("host-01");
    check(&mut cp);
    cp.settle("host-01");
    check(&mut cp);
    cp.fail_infra("host-02");
    check(&mut cp);
    cp.advance(minutes(30));
    check(&mut cp);
    cp.fail("host-02");
    check(&mut cp);
}

#[test]
fn e20_a_rollout_that_waits_for_hosts_that_gave_up_names_them() {
    let spec = crate::with_policy(release("r1", "one", &[2]), |policy| {
        policy.infra_retries = 0;
        policy.max_infra_failures = wavegate_proto::artifact::policy::Limit::Count(0);
    });
    let mut cp = Cp::with(&[spec]);
    cp.converge("host-01");
    cp.fail_infra("host-02");
    cp.advance(hours(1));
    let rollout = cp.rollout("stable@r1");
    assert_eq!(rollout.state, RolloutState::Active);
    let waiting: Vec<_> = rollout.waiting_for.iter().map(|w| w.host.as_str()).collect();
    assert_eq!(waiting, ["host-02"]);
}

#[test]
fn e20_a_rollout_that_waits_for_a_reboot_names_the_host() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.converge("host-01");
    cp.ack("host-02");
    cp.event("host-02", Event::ActivationDeferred { component: "kernel".to_owned() }).unwrap();
    let rollout = cp.rollout("stable@r1");
    assert_eq!(rollout.state, RolloutState::Converging);
    let waiting: Vec<_> = rollout.waiting_for.iter().map(|w| w.host.as_str()).collect();
    assert_eq!(waiting, ["host-02"]);
}

/// E21: nothing depends on chance.
#[test]
fn e21_the_same_history_gives_the_same_log() {
    let run = || {
        let edge = on_channel("edge", release("r1", "one", &[3, 4]).budget("all", 2, 2));
        let mut cp = Cp::with(&[edge, release("r1", "two", &[2, 5]).budget("all", 3, 1)]);
        cp.converge("edge-02");
        cp.advance(minutes(3));
        cp.fail("host-01");
        cp.converge_all();
        cp.disk.log.clone()
    };
    assert_eq!(run(), run());
}

#[test]
fn e21_hosts_go_in_order_of_wave_then_name() {
    let mut cp = Cp::silent_with(&[release("r1", "one", &[9]).budget("all", 3, 1)]);
    for host in ["host-09", "host-04", "host-01", "host-07", "host-03"] {
        cp.heartbeat(host).unwrap();
    }
    cp.advance(minutes(2));
    assert_eq!(cp.dispatched(), ["host-01", "host-02", "host-03"]);
    assert_eq!(cp.core.fleet().rollouts[&id("stable@r1")].current_wave, WaveIndex(0));
}

/// Where an aborted rollout has come to is in the log: a restart and a rebuild find it there.
#[test]
fn the_wave_that_an_aborted_rollout_has_reached_is_kept() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[1, 2]))]);
    cp.ack("host-01");
    cp.activate("host-01");
    cp.abort("stable@r1");
    cp.settle("host-01");
    assert_eq!(cp.state("host-01"), HostState::Converged);
    assert_eq!(cp.rollout("stable@r1").current_wave.0, 1);
    // The same content, signed anew: each rollout that goes on is written.
    cp.publish(&[patient(release("r1", "good", &[1, 2]))]);
    cp.restart();
    assert_eq!(cp.rollout("stable@r1").current_wave.0, 1);
}
