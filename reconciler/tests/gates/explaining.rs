//! What a person is told of one host, in every state it can be in.
//!
//! Not here: the words of a gate (see `words`), whom a wave waits for (see `waiting`).

use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::WaveIndex;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::{ExplainDecision, MarkBy, Reason, ReasonKind, RolloutState};
use wavegate_reconciler::fleet::placement::{HeldSince, SkipReason};
use wavegate_reconciler::fleet::{NewerRelease, Untrusted};
use wavegate_reconciler::gates::{Gate, Hold};
use wavegate_reconciler::plan::explain;

use crate::scene::{Change, Scene};
use crate::spec::{OFFLINE_AFTER_SECS, Spec, name, wall};

const R1: &str = "stable@r1";

fn explained(scene: &Scene) -> (ExplainDecision, Vec<Reason>) {
    let explained = explain(&scene.fleet, &name("a"), scene.now).unwrap();
    assert_eq!(explained.host, name("a"));
    (explained.decision, explained.reasons)
}

fn one_host() -> Scene {
    let mut scene = Scene::with(Spec::waves(2));
    scene.place(R1, "a", 0);
    scene
}

fn fails(scene: &mut Scene, rollback: Rollback) {
    scene.failed(R1, "a", FailureClass::Artifact, rollback);
}

/// What a change makes of a host, and the codes of everything that stands against it.
type Case = (&'static str, Change, ExplainDecision, &'static [&'static str]);

fn expect(cases: &[Case]) {
    for (case, change, decision, codes) in cases {
        let mut scene = one_host();
        change(&mut scene);
        let (decided, reasons) = explained(&scene);
        let told: Vec<_> = reasons.iter().map(|reason| reason.code.as_str()).collect();
        assert_eq!((decided, told), (*decision, codes.to_vec()), "{case}");
    }
}

#[test]
fn a_host_in_every_state() {
    use ExplainDecision::{Dispatch, Done, Failed, InFlight, Wait};
    expect(&[
        ("pending", |_| (), Dispatch, &[]),
        ("with a dispatch", |s| _ = s.lease(R1, "a"), InFlight, &[]),
        ("held", |s| s.rollout(R1).state = RolloutState::Failed, Wait, &["rollout-halted"]),
        ("activating", |s| _ = s.state(R1, "a", HostState::Activating), InFlight, &[]),
        ("deferred", |s| _ = s.state(R1, "a", HostState::Deferred), InFlight, &[]),
        ("soaking", |s| _ = s.state(R1, "a", HostState::Soaking), InFlight, &[]),
        ("converged", |s| _ = s.converged(R1, "a"), Done, &[]),
        ("degraded", |s| _ = s.degraded(R1, "a"), Done, &["degraded"]),
        (
            "diverged",
            |s| {
                s.converged(R1, "a");
                s.edit(R1, "a", |p| p.diverged = true);
            },
            Done,
            &["diverged"],
        ),
        ("failed", |s| fails(s, Rollback::None), Failed, &["failed"]),
        (
            "reverted",
            |s| {
                fails(s, Rollback::Done);
                s.state(R1, "a", HostState::Reverted);
            },
            Failed,
            &["failed"],
        ),
        ("skipped", |s| _ = s.state(R1, "a", HostState::Skipped), Dispatch, &[]),
        (
            "skipped in a rollout that ended",
            |s| {
                s.state(R1, "a", HostState::Skipped);
                s.rollout(R1).state = RolloutState::Superseded;
            },
            Wait,
            &["rollout-superseded"],
        ),
    ]);
}

#[test]
fn a_host_with_something_beside_its_state() {
    use ExplainDecision::{InFlight, Wait};
    expect(&[
        (
            "left out before it began",
            |s| _ = s.edit(R1, "a", |p| p.skip = Some(SkipReason::Operator)),
            Wait,
            &["skipped-by-operator"],
        ),
        (
            "left out in the middle of it",
            |s| {
                s.state(R1, "a", HostState::Soaking);
                s.edit(R1, "a", |p| p.skip = Some(SkipReason::Operator));
            },
            InFlight,
            &["skipped-by-operator"],
        ),
        (
            "lost",
            |s| {
                s.state(R1, "a", HostState::Soaking);
                s.edit(R1, "a", |p| p.lost = true);
            },
            InFlight,
            &["lost"],
        ),
        (
            "a failure from the last attempt",
            |s| {
                fails(s, Rollback::Done);
                s.state(R1, "a", HostState::Soaking);
            },
            InFlight,
            &[],
        ),
    ]);
}

#[test]
fn a_failure_says_what_becomes_of_it() {
    for (rollback, kind, words) in [
        (Rollback::None, ReasonKind::NeedsPerson, "it stays as it is, as the policy says"),
        (Rollback::Running, ReasonKind::HeldBack, "it is rolling back"),
        (Rollback::Done, ReasonKind::NeedsPerson, "it has rolled back"),
        (Rollback::Failed, ReasonKind::NeedsPerson, "rolling back failed: it needs a person"),
    ] {
        let mut scene = one_host();
        fails(&mut scene, rollback);
        let (_, reasons) = explained(&scene);
        assert_eq!(reasons[0].detail, format!("probe-failed; {words}"));
        assert_eq!((reasons[0].kind, reasons[0].gate.as_str()), (kind, "failed"));
        assert_eq!(reasons[0].since, Some(wall()));
    }
}

/// O2: silent and stuck look different, though both are lost.
#[test]
fn o2_a_lost_host_is_silent_or_does_not_get_on() {
    let mut scene = one_host();
    scene.state(R1, "a", HostState::Soaking).edit(R1, "a", |p| p.lost = true);
    let (_, online) = explained(&scene);
    assert_eq!(online[0].detail, "the host has been soaking for longer than its policy explains");
    scene.wait_millis((OFFLINE_AFTER_SECS + 1) * 1000);
    let (_, silent) = explained(&scene);
    assert_eq!(silent[0].detail, "the host fell silent while it was being worked on");
    assert_eq!(silent[0].kind, ReasonKind::Stuck);
}

#[test]
fn a_host_that_no_release_names_and_one_that_does_not_exist() {
    let mut scene = Scene::new();
    assert_eq!(explain(&scene.fleet, &name("a"), scene.now), None);
    scene.fleet.host_entry(&name("a"), scene.now.mono);
    let (decision, reasons) = explained(&scene);
    assert_eq!(decision, ExplainDecision::Wait);
    assert_eq!(reasons[0].code, "nothing-published");
    assert_eq!((reasons[0].gate.as_str(), reasons[0].kind), ("rollout", ReasonKind::NeedsPerson));
}

/// Since when a gate holds is what was noted of that gate: of the host, else of its whole wave.
#[test]
fn since_when_it_is_held_is_what_was_noted_of_that_gate() {
    let note = |hold, secs| HeldSince { hold, since: wall().plus_secs(secs) };
    let by = || MarkBy { actor: "operator/alice".to_owned(), reason: "x".to_owned(), at: wall() };
    let mut scene = one_host();
    scene.rollout(R1).state = RolloutState::Failed;
    assert_eq!(explained(&scene).1[0].since, None);
    let halted = || Hold::RolloutState(RolloutState::Failed);
    scene.rollout(R1).held.insert(WaveIndex(0), note(halted(), 20));
    scene.rollout(R1).held.insert(WaveIndex(1), note(halted(), 30));
    assert_eq!(explained(&scene).1[0].since, Some(wall().plus_secs(20)), "its wave");
    scene.edit(R1, "a", |p| p.held = Some(Box::new(note(Hold::Frozen, 5))));
    assert_eq!(explained(&scene).1[0].since, Some(wall().plus_secs(20)), "another gate's");
    scene.edit(R1, "a", |p| p.held = Some(Box::new(note(halted(), 10))));
    assert_eq!(explained(&scene).1[0].since, Some(wall().plus_secs(10)), "its own");
    let noted = |scene: &Scene| {
        let rollout = &scene.fleet.rollouts[&crate::spec::id(R1)];
        let placement = &rollout.placements[&name("a")];
        rollout.noted_hold(placement).map(|held| held.since)
    };
    assert_eq!(noted(&scene), Some(wall().plus_secs(10)));
    scene.edit(R1, "a", |p| {
        p.held = None;
        p.skip = Some(SkipReason::Operator);
        p.skip_by = Some(Box::new(by()));
    });
    assert_eq!(noted(&scene), Some(wall().plus_secs(20)));
    assert_eq!(explained(&scene).1[0].since, Some(wall()), "the skip's own");
}

/// G10: a release that does not verify any more, and a newer one that a host has shown, hold everybody.
#[test]
fn g10_an_older_state_folder_and_replaced_keys_hold_everybody() {
    let mut scene = one_host();
    let (serial, host) = (wavegate_proto::ids::Serial(9), name("b"));
    scene.fleet.newer_release = Some(NewerRelease { serial, host: host.clone(), since: wall() });
    let behind = Hold::ReleaseBehind { serial, host, since: wall() };
    assert_eq!(scene.hold(R1, "a", Gate::Freshness), Some(behind));
    let code = wavegate_proto::artifact::rules::RuleCode::SignatureThreshold;
    scene.fleet.untrusted = Some(Untrusted { version: 2, code, since: wall() });
    let untrusted = Hold::Untrusted { version: 2, code, since: wall() };
    assert_eq!(scene.hold(R1, "a", Gate::Freshness), Some(untrusted));
    assert!(scene.dispatched().is_empty());
}

/// G15: two machines with one certificate.
#[test]
fn g15_a_cloned_host_is_held() {
    let mut scene = one_host();
    let boot = |number: u8| format!("00000000-0000-0000-0000-00000000000{number}").parse().unwrap();
    let boots = &mut scene.fleet.hosts.get_mut(&name("a")).unwrap().liveness.boots;
    let mono = |secs: u64| (wall(), wavegate_proto::time::Mono::from_millis(secs * 1000));
    for (secs, number) in [(0, 1), (10, 2), (60, 1)] {
        boots.hear(mono(secs), boot(number), 900 + secs, 60);
    }
    assert_eq!(scene.code(R1, "a", Gate::Hold), Some("cloned-identity"));
}

/// What degraded since, it says itself; whatever else, since it is in its state.
#[test]
fn a_degraded_host_says_since_when() {
    let mut scene = one_host();
    scene.converged(R1, "a");
    let since = wall().plus_secs(77);
    scene.edit(R1, "a", |placement| placement.record.degraded_since = Some(since));
    assert_eq!(explained(&scene).1[0].since, Some(since));
}

#[test]
fn a_manifest_is_debugged_without_its_bytes() {
    let scene = one_host();
    let shown = format!("{:?}", scene.fleet.rollouts[&crate::spec::id(R1)].manifest);
    assert!(shown.starts_with("Manifest { rollout_id: stable@r1, serial: "), "{shown}");
    assert!(!shown.contains("header_bytes"));
}

#[test]
fn gates_are_named_as_the_design_names_them() {
    let names = [
        (Gate::Recovering, "recovering"),
        (Gate::Rollout, "rollout"),
        (Gate::Freshness, "freshness"),
        (Gate::Quarantine, "quarantine"),
        (Gate::Hold, "hold"),
        (Gate::Offline, "offline"),
        (Gate::Busy, "busy"),
        (Gate::Retry, "retry"),
        (Gate::ChannelEdge, "channel-edge"),
        (Gate::Wave, "wave"),
        (Gate::Approval, "approval"),
        (Gate::Window, "window"),
        (Gate::HostEdge, "host-edge"),
        (Gate::Budget, "budget"),
        (Gate::Probes, "probes"),
        (Gate::Ramp, "ramp"),
    ];
    for (gate, name) in names {
        assert_eq!(gate.as_str(), name);
    }
}
