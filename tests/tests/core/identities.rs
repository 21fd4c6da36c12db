//! Who may say what, and whose clock is right: two machines with one certificate, revocations that would move
//! back, a release that the trust file has left behind, clocks that are off.

use std::time::Duration;

use uuid::Uuid;
use wavegate_control_plane::core::{Answer, Input, Query, TrustHolds};
use wavegate_proto::artifact::fleet::Revocation;
use wavegate_proto::artifact::rules::{RuleCode, Violation};
use wavegate_proto::ids::{Attempt, BootId};
use wavegate_proto::record::HostState;
use wavegate_proto::wire::agent::Heartbeat;
use wavegate_proto::wire::operator::{ExpiryKind, ReasonKind, Status};

use crate::harness::{Cp, HEARTBEAT_SECS, minutes, name};
use crate::{patient, release};

impl Cp {
    /// A heartbeat of the machine `boot`, which has been up for so long.
    fn heartbeat_of(&mut self, host: &str, boot: u128, uptime_secs: u64) {
        let here = self.host(host);
        (here.boot_id, here.uptime_secs) = (BootId(Uuid::from_u128(boot)), uptime_secs);
        self.heartbeat(host).unwrap();
    }

    /// Two machines that have been up for long speak in turn, each with its own uptime.
    fn alternate(&mut self, host: &str, turns: u64) {
        for turn in 0..turns {
            self.heartbeat_of(host, 100 + u128::from(turn % 2), 9000 + turn * HEARTBEAT_SECS / 2);
            self.skip_time(Duration::from_secs(HEARTBEAT_SECS / 2));
        }
    }

    fn status(&mut self) -> Status {
        match self.send(|reply| Input::Query { query: Query::Status, reply }).unwrap() {
            Answer::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    fn trust_holds(&mut self, version: u64, untrusted: Option<RuleCode>) {
        let holds = Box::new(TrustHolds {
            version,
            threshold: 1,
            keys: Vec::new(),
            reject_signed_before: None,
            untrusted: untrusted.map(|code| Violation::new(code, "")),
            rotated: true,
        });
        let answer = self.send(|reply| Input::TrustHolds { holds, reply }).unwrap();
        assert!(matches!(answer, Answer::TrustHeld), "{answer:?}");
    }

    /// A heartbeat whose clock is so many seconds ahead.
    fn heartbeat_ahead(&mut self, host: &str, secs: u64) {
        let wall = self.now().wall.plus_secs(secs);
        let heartbeat = self.host(host).heartbeat(wall);
        self.heartbeat_as(host, heartbeat);
    }

    fn heartbeat_as(&mut self, host: &str, heartbeat: Heartbeat) {
        let (host, heartbeat) = (name(host), Box::new(heartbeat));
        let send = |reply| Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply };
        assert!(matches!(self.send(send), Some(Answer::Heartbeat(_))));
    }
}

/// A12: they do not fight over one record; neither goes, and both are told why.
#[test]
fn a12_two_machines_with_one_certificate_are_both_parked() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[2]))]);
    assert_eq!(cp.dispatched(), ["host-01", "host-02"]);
    let dispatch = cp.take_dispatch("host-01");
    cp.alternate("host-01", 4);
    assert_eq!(cp.logged("host_cloned"), 1);
    assert_eq!(cp.dispatched(), ["host-02"], "what was not acknowledged is taken back");
    let explained = cp.explain("host-01");
    let reason = &explained.reasons[0];
    assert_eq!((reason.gate.as_str(), reason.code.as_str()), ("hold", "cloned-identity"));
    assert_eq!(reason.kind, ReasonKind::NeedsPerson);
    let parked = cp.host_document("host-01").parked.unwrap();
    assert_eq!((parked.code.as_str(), parked.boots.len()), ("cloned-identity", 2));
    assert_eq!(cp.status().alarms.cloned, 1);
    // Neither starts, whoever of them had the dispatch.
    cp.host("host-01").dispatch = Some(dispatch);
    let ack = cp.ack_event("host-01", Attempt(1));
    assert_eq!(cp.event("host-01", ack).unwrap_err().code(), "cloned-identity");
    assert_eq!(cp.state("host-01"), HostState::Pending);
    // The other host has nothing to do with it.
    cp.converge("host-02");
}

#[test]
fn g15_the_host_goes_on_when_only_one_of_them_has_been_heard_for_a_while() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[1]))]);
    cp.alternate("host-01", 4);
    assert_eq!(cp.held_by("host-01"), ["cloned-identity"]);
    for turn in 0..20 {
        cp.heartbeat_of("host-01", 101, 20_000 + turn * HEARTBEAT_SECS);
        cp.skip_time(Duration::from_secs(HEARTBEAT_SECS));
    }
    assert_eq!(cp.logged("host_clone_cleared"), 1);
    assert_eq!(cp.host_document("host-01").parked, None);
    assert_eq!(cp.status().alarms.cloned, 0);
    cp.converge("host-01");
}

/// A machine that was replaced, and one that was rebooted, are no clones.
#[test]
fn g15_a_reboot_parks_nobody() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[1]))]);
    for boot in 1..6 {
        cp.heartbeat_of("host-01", boot, 5);
        cp.skip_time(minutes(1));
        cp.heartbeat_of("host-01", boot, 65);
        cp.skip_time(minutes(1));
    }
    assert_eq!((cp.logged("host_cloned"), cp.host_document("host-01").parked), (0, None));
    cp.converge("host-01");
}

#[test]
fn s4_a_release_that_moves_a_revocation_back_is_refused() {
    let spec = || patient(release("r1", "one", &[2]));
    let mut cp = Cp::with(&[spec()]);
    let now = cp.now().wall.truncated_to_secs();
    let revoked = |subject: &str, not_before| Revocation {
        subject: subject.to_owned(),
        not_before,
        reason: None,
    };
    cp.kit.revoked = vec![revoked("operator/mallory", now.plus_secs(60))];
    cp.publish(&[spec()]);
    let serial = cp.serial + 1;
    for moved in
        [vec![], vec![revoked("operator/mallory", now)], vec![revoked("host/host-02", now)]]
    {
        cp.kit.revoked = moved;
        let refused = cp.try_publish(serial, &[spec()]).unwrap_err();
        assert_eq!((refused.status, refused.code()), (422, "revocation-moved-back"));
        assert!(refused.detail.contains("operator/mallory"), "{}", refused.detail);
    }
    cp.restart();
    cp.kit.revoked = Vec::new();
    assert_eq!(cp.try_publish(serial, &[spec()]).unwrap_err().code(), "revocation-moved-back");
    cp.kit.revoked = vec![revoked("operator/mallory", now.plus_secs(61))];
    cp.publish(&[spec()]);
}

#[test]
fn a_release_that_the_trust_file_has_left_behind_is_shown_and_dispatches_nothing() {
    let mut cp = Cp::silent_with(&[patient(release("r1", "one", &[1]))]);
    cp.trust_holds(2, Some(RuleCode::SignatureThreshold));
    cp.everybody_reports();
    cp.advance(minutes(5));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.held_by("host-01"), ["release-untrusted"]);
    let status = cp.status();
    assert_eq!(status.trust_version, Some(2));
    assert_eq!(status.alarms.release_untrusted.as_deref(), Some("signature-threshold"));
    assert_eq!(cp.heartbeat("host-01").unwrap().trust_version, Some(2));
    assert_eq!(cp.logged("trust_rotated"), 1);
    cp.trust_holds(3, None);
    cp.tick();
    assert_eq!(cp.dispatched(), ["host-01"]);
}

#[test]
fn a_clock_that_is_off_is_shown_and_noted_once_and_holds_nothing() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[1]))]);
    cp.heartbeat_ahead("host-01", 50);
    assert_eq!((cp.logged("clock_skewed"), cp.status().alarms.clock_skewed), (0, 0));
    for _ in 0..5 {
        cp.heartbeat_ahead("host-01", 2 * 365 * 86_400);
        cp.skip_time(Duration::from_secs(HEARTBEAT_SECS));
    }
    assert_eq!((cp.logged("clock_skewed"), cp.status().alarms.clock_skewed), (1, 1));
    assert_eq!(cp.host_document("host-01").clock_skew_secs, Some(2 * 365 * 86_400));
    assert_eq!(
        cp.dispatched(),
        ["host-01"],
        "what it is told is signed, and leases are not by clocks"
    );
    cp.report("host-01");
    assert_eq!(cp.status().alarms.clock_skewed, 0);
}

#[test]
fn what_runs_out_is_in_the_status() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[1]))]);
    let status = cp.status();
    let [freshness] = status.expiries.as_slice() else { panic!("{:?}", status.expiries) };
    assert_eq!((freshness.kind, freshness.name.as_str()), (ExpiryKind::Freshness, "stable"));
    let left = freshness.left_secs;
    assert!(left > 0);
    cp.skip_time(minutes(10));
    assert_eq!(cp.status().expiries[0].left_secs, left - 600);
}

#[test]
fn an_agent_that_was_updated_is_shown_with_its_new_version() {
    let mut cp = Cp::with(&[patient(release("r1", "one", &[2]))]);
    let endless = "9".repeat(100);
    for (version, shown) in [("0.1.0", "0.1.0"), ("0.2.0", "0.2.0"), (&endless, &endless[..64])] {
        let at = cp.now().wall;
        let ordinary = cp.host("host-01").heartbeat(at);
        cp.heartbeat_as("host-01", Heartbeat { agent_version: version.to_owned(), ..ordinary });
        assert_eq!(cp.host_document("host-01").agent_version.as_deref(), Some(shown));
        cp.skip_time(minutes(1));
        cp.tick();
        cp.restart();
        assert_eq!(cp.host_document("host-01").agent_version.as_deref(), Some(shown), "kept");
    }
}
