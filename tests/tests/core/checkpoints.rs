//! Checkpoints: an older copy of the database is found out by what hosts were shown (G11).

use wavegate_proto::ids::CpEpoch;
use wavegate_proto::record::HostState;

use crate::harness::{Cp, hours, id, minutes};
use crate::release;

fn epoch(cp: &mut Cp, host: &str) -> CpEpoch {
    cp.heartbeat(host).unwrap().cp_epoch
}

#[test]
fn g11_a_log_that_is_shorter_than_hosts_have_seen_gets_a_new_epoch() {
    let mut cp = Cp::with(&[release("r1", "one", &[2]).budget("all", 1, 1)]);
    let (before, older) = (epoch(&mut cp, "host-01"), cp.disk.clone());
    cp.converge("host-01");
    cp.advance(hours(1));
    cp.set_back(older);
    let after = epoch(&mut cp, "host-01");
    assert_ne!(after, before);
    assert_eq!(cp.disk.epoch, Some(after), "it is another one for good");
    assert_eq!(epoch(&mut cp, "host-02"), after, "once a start");
    assert_eq!(cp.logged("epoch_renewed"), 1);
    cp.everybody_reports();
    assert_eq!(cp.state("host-01"), HostState::Converged, "and the journals come back");
    cp.restart();
    assert_eq!(
        epoch(&mut cp, "host-01"),
        after,
        "the next start is on the log that everybody knows"
    );
}

#[test]
fn g11_a_log_that_went_back_and_grew_again_is_found_out_by_its_chain() {
    let mut cp = Cp::with(&[release("r1", "one", &[2]).budget("all", 1, 1)]);
    let older = cp.disk.clone();
    cp.converge("host-01");
    cp.advance(hours(1));
    let shown = cp.host("host-02").checkpoint.unwrap();
    let before = epoch(&mut cp, "host-02");
    cp.goes_silent("host-02");
    cp.host("host-01").checkpoint = None;
    cp.set_back(older);
    while cp.disk.log_end().seq <= shown.seq {
        cp.restart();
        cp.everybody_reports();
    }
    cp.restart();
    assert!(cp.core.fleet().hosts.values().all(|h| h.liveness.log_shown.is_none()));
    cp.returns("host-02");
    assert_ne!(epoch(&mut cp, "host-02"), before);
}

#[test]
fn g11_what_a_host_makes_up_changes_nothing() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.advance(minutes(10));
    let before = epoch(&mut cp, "host-01");
    let mut forged = cp.host("host-01").checkpoint.unwrap();
    forged.seq.0 += 1000;
    cp.host("host-01").checkpoint = Some(forged);
    let of_another = cp.host("host-01").checkpoint;
    cp.host("host-02").checkpoint = of_another;
    cp.restart();
    assert_eq!(epoch(&mut cp, "host-01"), before);
    assert_eq!(epoch(&mut cp, "host-02"), before);
    assert_eq!(cp.logged("epoch_renewed"), 0);
    assert_eq!(cp.logged("checkpoint_refused"), 1, "noted once a start, whoever makes them up");
}

#[test]
fn g11_after_a_renewal_nobody_is_dispatched_who_was_not_heard() {
    let mut cp = Cp::with(&[release("r1", "one", &[3]).budget("all", 1, 1)]);
    let older = cp.disk.clone();
    cp.ack("host-01");
    cp.advance(hours(1));
    cp.goes_silent("host-01");
    cp.goes_silent("host-03");
    cp.set_back(older);
    cp.everybody_reports();
    cp.advance(minutes(10));
    let held = cp.held_by("host-02");
    assert!(held.contains(&"budget-used-up".to_owned()), "host-01 may be at work: {held:?}");
    assert!(cp.core.fleet().placement(&id("stable@r1"), &"host-02".parse().unwrap()).is_some());
    cp.returns("host-01");
    assert_eq!(cp.state("host-01"), HostState::Activating);
}

#[test]
fn checkpoints_are_shown_now_and_then_not_with_every_heartbeat() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    assert!(cp.heartbeat("host-01").unwrap().checkpoint.is_none(), "it has just been shown");
    cp.advance(minutes(6));
    let first = cp.host("host-01").checkpoint.unwrap();
    cp.converge("host-01");
    cp.advance(minutes(6));
    assert!(cp.host("host-01").checkpoint.unwrap().seq > first.seq);
}
