//! Budgets: how many hosts are disrupted at once, over all rollouts, whatever becomes of them.

use wavegate_proto::record::HostState;

use crate::harness::{Cp, hours, minutes};
use crate::{on_channel, patient, release};

#[test]
fn e12_one_tick_does_not_over_commit_and_waiting_hosts_count_for_nothing() {
    let mut cp = Cp::silent_with(&[release("r1", "one", &[6]).budget("all", 2, 1)]);
    for host in ["host-01", "host-02", "host-03", "host-04", "host-05", "host-06"] {
        cp.heartbeat(host).unwrap();
    }
    cp.tick();
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
    cp.ack("host-01");
    cp.activate("host-01");
    cp.advance(minutes(1));
    assert_eq!(cp.dispatched(), ["host-02"], "a soaking host keeps its slot");
    cp.settle("host-01");
    assert_eq!(cp.dispatched(), ["host-02", "host-03"]);
}

#[test]
fn e12_a_budget_counts_over_all_rollouts_and_its_smallest_limit_holds() {
    let edge = on_channel("edge", release("r1", "one", &[4]).budget("shared", 3, 1));
    let mut cp = Cp::with(&[edge, release("r1", "one", &[4]).budget("shared", 2, 1)]);
    assert_eq!(cp.dispatched(), ["edge-01", "edge-02"]);
    cp.converge("edge-01");
    assert_eq!(cp.dispatched().len(), 2);
}

#[test]
fn e12_a_host_does_not_block_itself() {
    let spec = |reference, target| release(reference, target, &[1]).budget("one", 1, 1);
    let mut cp = Cp::with(&[spec("r1", "one")]);
    cp.converge("host-01");
    cp.degrade("host-01");
    cp.publish(&[spec("r2", "fix")]);
    assert_eq!(cp.dispatched(), ["host-01"], "its own slot does not hold its fix");
}

#[test]
fn g19_two_broken_budget_members_never_wait_for_each_other() {
    let spec = |reference, target| release(reference, target, &[2]).budget("one", 1, 1);
    let mut cp = Cp::with(&[spec("r1", "one")]);
    cp.converge_all();
    cp.degrade("host-01");
    cp.degrade("host-02");
    cp.publish(&[spec("r2", "fix")]);
    assert_eq!(cp.dispatched(), ["host-01"], "one after the other");
    cp.ack("host-01");
    cp.advance(minutes(1));
    assert!(cp.dispatched().is_empty(), "host-01 is being worked on");
    cp.activate("host-01");
    cp.settle("host-01");
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn g19_a_slot_is_used_by_whatever_disrupts_the_host() {
    let mut cp = Cp::with(&[release("r1", "one", &[2]).budget("one", 1, 1)]);
    let held = |cp: &mut Cp| cp.held_by("host-02").contains(&"budget-used-up".to_owned());
    assert!(held(&mut cp), "dispatched");
    cp.ack("host-01");
    assert!(held(&mut cp), "activating");
    cp.activate("host-01");
    assert!(held(&mut cp), "soaking");
    cp.settle("host-01");
    assert!(!held(&mut cp), "converged");
    cp.degrade("host-01");
    assert!(held(&mut cp) || cp.dispatched() == ["host-02"], "degraded");
}

#[test]
fn g6_a_failure_that_changed_nothing_uses_no_slot() {
    let mut cp = Cp::with(&[release("r1", "one", &[2]).budget("one", 1, 1)]);
    cp.fail_infra("host-01");
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn e17_a_dead_host_frees_its_slot_by_the_skip_rule() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[3]).budget("one", 1, 1))]);
    cp.ack("host-01");
    cp.goes_silent("host-01");
    cp.advance(hours(23));
    assert_eq!(cp.held_by("host-02"), ["budget-used-up"]);
    assert!(cp.explain("host-02").reasons[0].detail.contains("host-01"), "it names who uses it");
    cp.advance(hours(2));
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.returns("host-01");
    cp.converge("host-02");
    assert_eq!(cp.state("host-01"), HostState::Activating);
    assert_eq!(cp.held_by("host-03"), ["budget-used-up"], "it has returned: its slot counts again");
}

#[test]
fn e17_a_host_that_died_under_an_earlier_rollout_frees_its_slot_too() {
    let spec = |reference, target| patient(release(reference, target, &[3]).budget("one", 1, 1));
    let mut cp = Cp::with(&[spec("r1", "one")]);
    cp.ack("host-01");
    cp.goes_silent("host-01");
    cp.publish(&[spec("r2", "two")]);
    cp.advance(hours(1));
    assert_eq!(cp.held_by("host-02"), ["budget-used-up"]);
    cp.advance(hours(25));
    assert_eq!(cp.state("host-01"), HostState::Skipped);
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn e17_a_deferred_host_that_never_comes_back_frees_its_slot_too() {
    use wavegate_proto::event::Event;
    let mut cp = Cp::with(&[patient(release("r1", "one", &[3]).budget("one", 1, 1))]);
    cp.ack("host-01");
    cp.event("host-01", Event::ActivationDeferred { component: "kernel".to_owned() }).unwrap();
    cp.goes_silent("host-01");
    cp.advance(hours(23));
    assert!(cp.dispatched().is_empty(), "it keeps its slot until it has rebooted and soaked");
    cp.advance(hours(2));
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn e17_g25_a_dead_host_frees_its_slot_also_across_a_restart() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[3]).budget("one", 1, 1))]);
    cp.ack("host-01");
    cp.goes_silent("host-01");
    cp.restart();
    cp.everybody_reports();
    cp.advance(hours(1));
    assert_eq!(cp.held_by("host-02"), ["budget-used-up"]);
    cp.advance(hours(25));
    assert_eq!(cp.dispatched(), ["host-02"]);
}
