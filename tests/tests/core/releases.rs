//! Releases: what is adopted, what is refused, what a new one does to the old.

use wavegate_proto::artifact::policy::Policy;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::release_kit::closure;

use crate::harness::{Cp, HEARTBEAT_SECS, hours, id, minutes, name};
use crate::{on_channel, release, rules, with_policy};

#[test]
fn the_same_release_again_gives_the_same_answer_and_logs_nothing() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let release = cp.released.clone().unwrap();
    let rows = cp.disk.log.len();
    let again = cp.adopt(&release).unwrap();
    assert_eq!(again.rollouts_opened, [id("stable@r1")]);
    assert_eq!(cp.disk.log.len(), rows);
    cp.restart();
    assert_eq!(cp.adopt(&release).unwrap(), again);
}

#[test]
fn s3_serials_do_not_go_back_and_bind_their_content() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.publish(&[release("r2", "two", &[1])]);
    let refused = |cp: &mut Cp, serial, spec| cp.try_publish(serial, &[spec]).unwrap_err();
    let older = refused(&mut cp, 1, release("r3", "three", &[1]));
    assert_eq!((older.status, older.code()), (422, "serial-regressed"));
    let equal = refused(&mut cp, 2, release("r3", "three", &[1]));
    assert_eq!((equal.status, equal.code()), (422, "serial-conflict"));
    assert!(
        !cp.core.fleet().rollouts.contains_key(&id("stable@r3")),
        "adopted whole or not at all"
    );
    cp.restart();
    assert_eq!(refused(&mut cp, 1, release("r3", "three", &[1])).code(), "serial-regressed");
}

#[test]
fn g22_a_ref_is_bound_to_its_content_and_never_returns() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let conflict = |cp: &mut Cp, spec| cp.try_publish(9, &[spec]).unwrap_err().code().to_owned();
    assert_eq!(conflict(&mut cp, release("r1", "two", &[1])), "ref-conflict");
    let longer = |policy: &mut Policy| policy.activation_timeout_secs += 1;
    let other_policy = with_policy(release("r1", "one", &[1]), longer);
    assert_eq!(conflict(&mut cp, other_policy), "ref-conflict");
    cp.publish(&[release("r2", "two", &[1])]);
    assert_eq!(conflict(&mut cp, release("r1", "one", &[1])), "ref-conflict");
    cp.restart();
    assert_eq!(conflict(&mut cp, release("r1", "one", &[1])), "ref-conflict");
}

#[test]
fn g22_an_offered_header_opens_only_as_history() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.converge("host-01");
    let proof = cp.host("host-01").journals[&id("stable@r1")].proof.clone().unwrap();
    cp.publish(&[release("r2", "two", &[1])]);
    cp.wipe();
    cp.offer("host-01", proof.clone()).unwrap();
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Superseded);
    cp.advance(hours(1));
    assert!(cp.disk.dispatches.keys().all(|(rollout, _)| *rollout == id("stable@r2")));
    cp.disk = crate::harness::Disk::default();
    cp.restart_without_release();
    let other = on_channel("edge", release("e1", "one", &[1]));
    let mut earlier = release("r0", "zero", &[1]);
    earlier.policy = rules(1);
    cp.serial = 0;
    cp.publish(&[other, earlier]);
    let refused = cp.offer("host-01", proof).unwrap_err();
    assert_eq!(refused.code(), "ref-conflict", "its serial is not below the adopted one");
}

/// E10: a ref of its own, so the rollout is a new one.
#[test]
fn e10_going_back_to_earlier_content_under_a_new_ref_dispatches() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.converge_all();
    cp.publish(&[release("r2", "two", &[2])]);
    cp.converge("host-01");
    cp.everybody_reports();
    cp.publish(&[release("r3", "one", &[2])]);
    let back = cp.dispatch("host-01").unwrap();
    assert_eq!((back.target_closure, back.no_change), (closure("one"), false));
    assert!(cp.dispatch("host-02").unwrap().no_change, "it runs that already");
    cp.converge_all();
    assert_eq!(cp.rollout_state("stable@r3"), RolloutState::Terminal);
    assert_eq!(cp.host("host-01").running, Some(closure("one")));
}

#[test]
fn e9_a_release_of_another_channel_opens_one_rollout() {
    let edge = |reference, target| on_channel("edge", release(reference, target, &[1]));
    let mut cp = Cp::with(&[edge("e1", "one"), release("r1", "one", &[1])]);
    cp.fail("host-01");
    cp.roll_back("host-01");
    let answer = cp.publish(&[edge("e2", "two"), release("r1", "one", &[1])]);
    assert_eq!(answer.rollouts_opened, [id("edge@e2")]);
    assert_eq!(answer.unchanged, ["stable".parse().unwrap()]);
    cp.advance(minutes(10));
    assert_eq!(cp.state("host-01"), HostState::Reverted);
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Reverted);
}

#[test]
fn freshness_holds_and_signing_again_opens() {
    let mut cp = Cp::with(&[release("r1", "one", &[1, 1])]);
    cp.converge("host-01");
    cp.set_wall_clock_forward(hours(31 * 24));
    cp.advance(minutes(5));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-02")[0], "stale");
    cp.advance(minutes(20));
    cp.publish(&[release("r1", "one", &[1, 1])]);
    cp.advance(minutes(20));
    assert_eq!(cp.logged("rollout_opened"), 1);
    assert!(cp.logged("dispatch_issued") > 1);
}

#[test]
fn g23_no_change_needs_the_same_checks() {
    use wavegate_proto::ids::BlobId;
    let path = format!("/nix/store/{}-system", "a".repeat(32));
    let spec = |reference: &str, checks: &[u8]| {
        let mut spec = release(reference, "ignored", &[1]);
        spec.entries[0].closure = path.parse().unwrap();
        spec.entries[0].checks = Some(BlobId::of(checks));
        spec
    };
    let mut cp = Cp::with(&[spec("r1", b"one")]);
    cp.converge("host-01");
    cp.report("host-01");
    cp.publish(&[spec("r2", b"other")]);
    assert!(!cp.dispatch("host-01").unwrap().no_change);
    cp.converge("host-01");
    cp.report("host-01");
    let mut same = spec("r3", b"other");
    same.policy.activation_timeout_secs += 1;
    cp.publish(&[same]);
    assert!(cp.dispatch("host-01").unwrap().no_change);
}

#[test]
fn no_change_is_not_for_degraded_hosts_and_does_not_wait_for_its_wave() {
    let spec = |reference: &str, timeout| {
        with_policy(release(reference, "one", &[1, 2]), |p| p.activation_timeout_secs = timeout)
    };
    let mut cp = Cp::with(&[spec("r1", 100)]);
    cp.converge_all();
    cp.degrade("host-02");
    cp.everybody_reports();
    cp.publish(&[spec("r2", 200)]);
    assert!(cp.dispatch("host-01").unwrap().no_change);
    assert!(cp.dispatch("host-03").unwrap().no_change);
    assert!(!cp.dispatch("host-02").unwrap().no_change, "its fix, in the ordinary way");
}

#[test]
fn e11_a_release_that_is_loaded_first_after_a_crash_supersedes_too() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    assert_eq!(cp.dispatched().len(), 2);
    // The folder holds the next release, the process died before it was committed.
    cp.restart_without_release();
    cp.publish(&[release("r2", "two", &[2])]);
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Superseded);
    assert!(cp.dispatched().is_empty(), "withdrawn in the same transaction");
    cp.everybody_reports();
    cp.advance(minutes(1));
    assert_eq!(cp.dispatch("host-01").unwrap().rollout_id, id("stable@r2"));
}

#[test]
fn a_channel_that_is_gone_ends_its_rollout() {
    let edge = on_channel("edge", release("e1", "one", &[1]));
    let mut cp = Cp::with(&[edge, release("r1", "one", &[1])]);
    cp.publish(&[release("r1", "one", &[1])]);
    assert_eq!(cp.rollout_state("edge@e1"), RolloutState::Superseded);
    assert_eq!(cp.dispatched(), ["host-01"]);
    assert_eq!(cp.heartbeat("edge-01").unwrap_err().code(), "host-not-in-fleet");
}

#[test]
fn strangers_are_refused_and_without_a_release_everybody_waits() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.hosts.insert(name("stranger"), crate::harness::Host::new(99));
    let refused = cp.heartbeat("stranger").unwrap_err();
    assert_eq!((refused.status, refused.code()), (403, "host-not-in-fleet"));
    assert_eq!(cp.try_poll("stranger").unwrap_err().status, 403);
    cp.ack("host-01");
    let journal = cp.host("host-01").journals[&id("stable@r1")].clone();
    let unknown = cp.post("host-01", &id("stable@r9"), journal.id, false, journal.entries.clone());
    let unknown = unknown.unwrap_err();
    assert_eq!((unknown.status, unknown.code()), (404, "unknown-rollout"));
    cp.restart_without_release();
    for problem in [
        cp.heartbeat("host-01").unwrap_err(),
        cp.try_poll("host-01").unwrap_err(),
        cp.post("host-01", &id("stable@r1"), journal.id, false, journal.entries).unwrap_err(),
    ] {
        assert_eq!((problem.status, problem.code()), (503, "no-release"));
    }
}

#[test]
fn a_start_is_recovering_for_at_most_one_and_a_half_heartbeats() {
    let mut cp = Cp::silent_with(&[release("r1", "one", &[2])]);
    cp.goes_silent("host-02");
    cp.report("host-01");
    assert_eq!(cp.held_by("host-01"), ["recovering"]);
    assert!(cp.dispatched().is_empty());
    cp.advance(std::time::Duration::from_secs(HEARTBEAT_SECS));
    assert!(cp.dispatched().is_empty());
    cp.advance(std::time::Duration::from_secs(HEARTBEAT_SECS / 2 + 1));
    assert_eq!(cp.dispatched(), ["host-01"]);
    cp.returns("host-02");
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
}

/// G10: an older state folder was put back. A host that has seen the newer release shows its signed header.
#[test]
fn g10_a_signed_header_of_a_newer_release_holds_everything_until_that_is_here() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    let older = cp.released.clone();
    cp.publish(&[release("r2", "two", &[2])]);
    cp.converge("host-01");
    let newer = cp.released.clone().unwrap();
    cp.released = older;
    cp.wipe();
    let proof = cp.host("host-01").journals[&id("stable@r2")].proof.clone().unwrap();
    cp.heartbeat("host-01").unwrap();
    assert_eq!(cp.offer("host-01", proof.clone()).unwrap_err().code(), "ref-conflict");
    assert!(!cp.core.fleet().rollouts.contains_key(&id("stable@r2")), "it opens nothing");
    cp.goes_silent("host-01");
    cp.report("host-02");
    cp.advance(minutes(10));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-02"), ["release-behind"]);
    assert_eq!(cp.offer("host-01", proof).unwrap_err().code(), "ref-conflict");
    assert_eq!(cp.logged("release_behind"), 1, "the evidence is kept once");
    cp.adopt(&newer).unwrap();
    cp.released = Some(newer);
    cp.returns("host-01");
    cp.tick();
    assert!(!cp.held_by("host-02").contains(&"release-behind".to_owned()));
    assert_eq!(cp.dispatched(), ["host-02"]);
}

#[test]
fn g10_a_bare_serial_raises_an_alarm_and_holds_nothing() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.host("host-01").serial = wavegate_proto::ids::Serial(9);
    cp.advance(minutes(10));
    assert_eq!(cp.logged("serial_ahead"), 1, "once for each host");
    assert_eq!(cp.dispatched().len(), 2);
    cp.converge_all();
    assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Terminal);
}
