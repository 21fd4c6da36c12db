//! Operators' marks after a wiped database: what restricts comes back through the hosts, nothing else, and
//! nobody can forge it.

use wavegate_proto::ids::Sha256Hash;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::{RolloutMark, RolloutState};

use crate::harness::{Cp, equal_but_for, hours, minutes};
use crate::{patient, release, with_policy};

const R1: &str = "stable@r1";

#[test]
fn g11_a_pause_comes_back_after_a_wipe_as_it_was() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[2, 2]))]);
    cp.converge("host-01");
    cp.pause(R1);
    cp.everybody_reports();
    let before = cp.picture();
    cp.wipe();
    cp.everybody_reports();
    cp.advance(hours(1));
    assert!(cp.dispatched().is_empty());
    let except = ["last_seen_at", "opened_at", "since", "state_since", "attempt", "dispatched_at"];
    equal_but_for(&before["rollouts"], &cp.picture()["rollouts"], &except);
    let restored = cp.disk.log.iter().filter(|row| row.kind == "mark_restored");
    assert_eq!(restored.count(), 1, "once for the rollout, though four hosts keep it");
    cp.resume(R1);
    cp.converge_all();
    assert_eq!(cp.rollout_state(R1), RolloutState::Terminal);
}

#[test]
fn an_abort_comes_back_as_a_pause_and_a_skip_and_a_hold_as_they_were() {
    let mut cp = Cp::with(&[patient(release("r1", "bad", &[4]))]);
    cp.converge("host-01");
    cp.skip(R1, "host-02");
    cp.fail("host-03");
    cp.roll_back("host-03");
    cp.skip(R1, "host-03");
    cp.hold("host-04", Some(cp.now().wall.plus_secs(36_000)));
    cp.abort(R1);
    cp.everybody_reports();
    let before = cp.picture();
    cp.wipe();
    cp.everybody_reports();
    cp.everybody_reports();
    assert_eq!(cp.rollout(R1).mark, Some(RolloutMark::Paused));
    for host in ["host-02", "host-03"] {
        assert_eq!(cp.state(host), HostState::Skipped, "{host}");
        assert!(cp.held_by(host).contains(&"skipped-by-operator".to_owned()), "{host}");
    }
    assert!(cp.held_by("host-04").contains(&"held-by-operator".to_owned()));
    let except = ["last_seen_at"];
    equal_but_for(&before["hosts"], &cp.picture()["hosts"], &except);
    cp.resume(R1);
    cp.advance(minutes(1));
    assert!(cp.dispatched().is_empty(), "one has converged, two are skipped, one is held");
}

#[test]
fn approvals_and_cleared_quarantines_are_asked_for_again() {
    let spec = with_policy(patient(release("r1", "good", &[1, 1])), |policy| {
        policy.waves[1].requires_approval = true;
    });
    let mut cp = Cp::with(&[spec]);
    cp.approve(R1, 1);
    cp.converge("host-01");
    assert_eq!(cp.dispatched(), ["host-02"]);
    cp.everybody_reports();
    cp.wipe();
    cp.everybody_reports();
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-02"), ["not-approved"]);
}

/// A host that was away while a rollout was paused and resumed brings back the pause; another knows better.
#[test]
fn g11_the_newest_account_of_a_mark_wins_whoever_reports_first() {
    for (first, last) in [("host-01", "host-02"), ("host-02", "host-01")] {
        let mut cp = Cp::with(&[patient(release("r1", "good", &[1, 2]))]);
        cp.pause(R1);
        cp.everybody_reports();
        cp.goes_silent("host-01");
        cp.resume(R1);
        cp.everybody_reports();
        cp.wipe();
        cp.host("host-01").silent = false;
        cp.report(first);
        cp.report(last);
        assert_eq!(cp.rollout(R1).mark, None, "{first} first");
        cp.everybody_reports();
        assert_eq!(cp.dispatched(), ["host-01"], "{first} first");
    }
}

/// What some hosts have brought back before the process ended is in the database; the others' shares are older
/// and still missing.
#[test]
fn g11_a_restart_in_the_middle_of_a_recovery_loses_no_mark() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[4]))]);
    cp.skip(R1, "host-02");
    cp.everybody_reports();
    cp.hold("host-03", Some(cp.now().wall.plus_secs(36_000)));
    cp.everybody_reports();
    cp.wipe();
    cp.report("host-03");
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.state("host-02"), HostState::Skipped);
    assert!(cp.held_by("host-03").contains(&"held-by-operator".to_owned()));
}

/// A share that is newer than an abort, for another reason, does not make a pause of it.
#[test]
fn g11_an_abort_that_is_known_stays_one() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[4]))]);
    cp.abort(R1);
    cp.hold("host-03", Some(cp.now().wall.plus_secs(36_000)));
    cp.everybody_reports();
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.rollout(R1).mark, Some(RolloutMark::Aborted));
    assert_eq!(cp.logged("mark_restored"), 0);
}

/// Versions go on with the time: what is said to an empty database is newer than what hosts kept.
#[test]
fn g11_what_is_said_after_a_wipe_is_newer_than_what_hosts_kept() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[4]))]);
    for _ in 0..3 {
        cp.pause(R1);
        cp.resume(R1);
    }
    cp.everybody_reports();
    cp.wipe();
    cp.advance(minutes(1));
    cp.pause(R1);
    cp.everybody_reports();
    assert_eq!(cp.rollout(R1).mark, Some(RolloutMark::Paused));
    cp.wipe();
    cp.everybody_reports();
    assert_eq!(cp.rollout(R1).mark, Some(RolloutMark::Paused), "hosts were given the new share");
}

#[test]
fn g11_marks_that_do_not_verify_are_logged_and_restrict_nothing() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[2]))]);
    cp.pause(R1);
    cp.everybody_reports();
    let stolen = cp.host("host-01").marks.clone();
    let mut forged = stolen.clone().unwrap();
    forged.version = 99;
    let mut other_mac = stolen.clone().unwrap();
    other_mac.content["mac"] = serde_json::to_value(Sha256Hash::of(b"guess")).unwrap();
    // Of another host, of another version, with another seal.
    for (host, marks) in
        [("host-02", stolen), ("host-01", Some(forged)), ("host-01", Some(other_mac))]
    {
        let mut cp = Cp::with(&[patient(release("r1", "good", &[2]))]);
        cp.wipe();
        cp.host(host).marks = marks;
        cp.everybody_reports();
        assert_eq!(cp.logged("marks_refused"), 1);
        assert_eq!(cp.rollout(R1).mark, None);
        assert_eq!(cp.dispatched().len(), 2);
    }
}

/// Later a host cannot bring anything back: an operator may have decided otherwise since.
#[test]
fn g11_marks_are_believed_only_until_their_host_has_been_heard() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[2]))]);
    cp.pause(R1);
    cp.everybody_reports();
    let kept = cp.host("host-01").marks.take();
    cp.host("host-02").marks = None;
    cp.wipe();
    cp.everybody_reports();
    assert_eq!(cp.dispatched().len(), 2);
    cp.host("host-01").marks = kept;
    cp.everybody_reports();
    assert_eq!(cp.rollout(R1).mark, None);
    assert_eq!(cp.logged("mark_restored"), 0);
}

/// A host without marks is told none; one that keeps an older share is told the newer once.
#[test]
fn a_host_is_told_its_share_when_it_changes_and_only_then() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[2]))]);
    assert_eq!(cp.heartbeat("host-01").unwrap().marks, None);
    cp.hold("host-02", None);
    assert_eq!(cp.heartbeat("host-01").unwrap().marks, None, "that is no business of host-01");
    let first = cp.heartbeat("host-02").unwrap().marks.unwrap().version;
    assert_eq!(i64::try_from(first).unwrap(), cp.now().wall.unix_millis(), "versions are times");
    assert_eq!(cp.heartbeat("host-02").unwrap().marks, None, "it keeps it");
    cp.pause(R1);
    assert_eq!(cp.heartbeat("host-01").unwrap().marks.unwrap().version, first + 1);
    let share = cp.heartbeat("host-02").unwrap().marks.unwrap();
    assert_eq!(share.content["rollouts"][R1]["mark"], "paused");
    assert_eq!(share.content["hold"]["actor"], "operator/alice");
}
