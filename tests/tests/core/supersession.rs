//! A newer release meets hosts in every state they can be in: what becomes of the old rollout's record,
//! what holds the host in the new one, and what opens the way.

use wavegate_proto::event::Event;
use wavegate_proto::ids::Attempt;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::release_kit::{ChannelSpec, closure};

use crate::harness::{Cp, hours, id, minutes, name};
use crate::{on_channel, patient, release, with_policy};

struct Case {
    /// Where host-01 is when the newer release comes.
    at: &'static str,
    bring: fn(&mut Cp),
    /// Its state in the old rollout afterwards; `None`: the old rollout has forgotten it.
    old: Option<HostState>,
    /// What holds it in the new one.
    held: &'static [&'static str],
    /// What opens the way.
    open: fn(&mut Cp),
}

fn nothing(_: &mut Cp) {}

fn activating(cp: &mut Cp) {
    cp.ack("host-01");
}

fn soaking(cp: &mut Cp) {
    cp.ack("host-01");
    cp.activate("host-01");
}

fn deferred(cp: &mut Cp) {
    cp.ack("host-01");
    let component = "kernel".to_owned();
    cp.event("host-01", Event::ActivationDeferred { component }).unwrap();
}

const CASES: &[Case] = &[
    Case { at: "dispatched", bring: nothing, old: None, held: &[], open: nothing },
    Case {
        at: "activating, and it converges there",
        bring: activating,
        old: Some(HostState::Activating),
        held: &["busy-elsewhere"],
        open: |cp| {
            cp.activate("host-01");
            cp.settle("host-01");
        },
    },
    Case {
        at: "activating, and it fails and goes back there",
        bring: activating,
        old: Some(HostState::Activating),
        held: &["busy-elsewhere"],
        open: |cp| {
            cp.activate("host-01");
            cp.fail_health("host-01");
            assert_eq!(cp.held_by("host-01"), ["busy-elsewhere"], "it goes back");
            cp.roll_back("host-01");
        },
    },
    Case {
        at: "deferred",
        bring: deferred,
        old: Some(HostState::Deferred),
        held: &[],
        open: nothing,
    },
    Case {
        at: "soaking",
        bring: soaking,
        old: Some(HostState::Soaking),
        held: &["busy-elsewhere"],
        open: |cp| cp.settle("host-01"),
    },
    Case {
        at: "converged",
        bring: |cp| cp.converge("host-01"),
        old: Some(HostState::Converged),
        held: &[],
        open: nothing,
    },
    Case {
        at: "degraded",
        bring: |cp| {
            cp.converge("host-01");
            cp.degrade("host-01");
        },
        old: Some(HostState::Converged),
        held: &[],
        open: nothing,
    },
    Case {
        at: "failed and going back",
        bring: |cp| cp.fail("host-01"),
        old: Some(HostState::Failed),
        held: &["busy-elsewhere"],
        open: |cp| cp.roll_back("host-01"),
    },
    Case {
        at: "reverted",
        bring: |cp| {
            cp.fail("host-01");
            cp.roll_back("host-01");
        },
        old: Some(HostState::Reverted),
        held: &[],
        open: nothing,
    },
    Case {
        at: "waiting to be tried again",
        bring: |cp| cp.fail_infra("host-01"),
        old: Some(HostState::Reverted),
        held: &[],
        open: nothing,
    },
    Case {
        at: "skipped for its silence",
        bring: |cp| {
            cp.goes_silent("host-01");
            cp.converge_others();
            cp.advance(hours(25));
        },
        old: None,
        held: &["skipped-offline"],
        open: |cp| cp.returns("host-01"),
    },
    // G9: the heartbeat that finds it again does not get it dispatched beside what it is in the middle of.
    Case {
        at: "lost while it was activating",
        bring: |cp| {
            activating(cp);
            cp.goes_silent("host-01");
            cp.advance(minutes(10));
        },
        old: Some(HostState::Activating),
        held: &["silent"],
        open: |cp| {
            cp.returns("host-01");
            assert_eq!(cp.held_by("host-01"), ["busy-elsewhere"], "it was heard again");
            cp.activate("host-01");
            cp.settle("host-01");
        },
    },
];

impl Cp {
    /// Everybody but host-01.
    fn converge_others(&mut self) {
        for host in ["host-02", "host-03", "host-04"] {
            self.converge(host);
        }
    }
}

fn of(reference: &str, target: &str) -> ChannelSpec {
    patient(release(reference, target, &[4]))
}

#[test]
fn a_newer_release_finds_its_way_to_a_host_in_every_state() {
    for Case { at, bring, old, held, open } in CASES {
        let mut cp = Cp::with(&[of("r1", "one")]);
        bring(&mut cp);
        cp.publish(&[of("r2", "two")]);
        assert_eq!(cp.rollout_state("stable@r1"), RolloutState::Superseded, "{at}");
        let before = cp.core.fleet().placement(&id("stable@r1"), &name("host-01"));
        assert_eq!(before.map(|placement| placement.record.state), *old, "{at}");
        assert!(before.is_none_or(|placement| placement.lease.is_none()), "{at}: withdrawn (E11)");
        let dispatched = |cp: &Cp| cp.dispatched().contains(&"host-01".to_owned());
        if held.is_empty() {
            assert!(dispatched(&cp), "{at}: {:?}", cp.held_by("host-01"));
        } else {
            assert_eq!(cp.held_by("host-01"), *held, "{at}");
            assert!(!dispatched(&cp), "{at}");
        }
        open(&mut cp);
        let dispatch =
            cp.dispatch("host-01").unwrap_or_else(|| panic!("{at}: {:?}", cp.held_by("host-01")));
        assert_eq!((dispatch.rollout_id, dispatch.no_change), (id("stable@r2"), false), "{at}");
        cp.converge("host-01");
        assert_eq!(cp.host("host-01").running, Some(closure("two")), "{at}");
    }
}

/// E11: what was offered before and is accepted too late starts nothing: the old rollout has forgotten
/// the host, and an agent starts only when its acknowledgement was taken.
#[test]
fn e11_an_acknowledgement_that_comes_after_the_newer_release_is_refused() {
    let mut cp = Cp::with(&[of("r1", "one")]);
    cp.take_dispatch("host-01");
    cp.publish(&[of("r2", "two")]);
    let ack = cp.ack_event("host-01", Attempt(1));
    let refused = cp.event("host-01", ack).unwrap_err();
    assert_eq!((refused.status, refused.code()), (404, "unknown-rollout"));
    assert_eq!(cp.dispatch("host-01").unwrap().rollout_id, id("stable@r2"));
}

/// A host that moves to another channel in the middle of a rollout finishes there first.
#[test]
fn g9_a_host_that_moves_to_another_channel_finishes_what_it_began() {
    let stable = |reference: &str, hosts: usize| patient(release(reference, "one", &[hosts]));
    let edge = |reference: &str, target: &str| {
        on_channel("edge", patient(release(reference, target, &[1])))
    };
    let mut cp = Cp::with(&[edge("e1", "one"), stable("r1", 2)]);
    cp.ack("host-02");
    let mut wider = edge("e2", "two");
    let mut moved = wider.entries[0].clone();
    moved.host = name("host-02");
    wider.entries.push(moved);
    cp.publish(&[wider, stable("r2", 1)]);
    assert_eq!(cp.held_by("host-02"), ["busy-elsewhere"]);
    cp.advance(minutes(1));
    cp.activate("host-02");
    cp.settle("host-02");
    assert_eq!(cp.dispatch("host-02").unwrap().rollout_id, id("edge@e2"));
    cp.converge("host-02");
    assert_eq!(cp.host("host-02").running, Some(closure("two")));
}

/// Under the policy `halt` nothing is rolled back: the host is broken, and the fix does not wait.
#[test]
fn e19_a_host_that_failed_and_stays_so_gets_the_newer_release_at_once() {
    let halting = |reference, target| {
        with_policy(of(reference, target), |policy| {
            policy.on_health_failure = wavegate_proto::event::FailurePolicy::Halt;
        })
    };
    let mut cp = Cp::with(&[halting("r1", "one")]);
    cp.fail("host-01");
    cp.publish(&[halting("r2", "two")]);
    assert_eq!(cp.dispatch("host-01").unwrap().rollout_id, id("stable@r2"));
}
