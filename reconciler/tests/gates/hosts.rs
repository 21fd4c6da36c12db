//! The gates that ask about the host itself: recovering, offline, busy, retry.

use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::time::Mono;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::fleet::recovering::Recovering;
use wavegate_reconciler::gates::Gate;

use crate::scene::{Case, Scene, table};
use crate::spec::{OFFLINE_AFTER_SECS, START, Spec, id, name, retry_at};

fn one_host() -> Scene {
    let mut scene = Scene::with(Spec::waves(1));
    scene.place("stable@r1", "a", 0);
    scene
}

/// A start whose deadline is `secs` from now, with these hosts still to be heard.
fn starts(scene: &mut Scene, secs: u64, unreported: &[&str]) {
    scene.fleet.recovering = Recovering {
        deadline: Some(START.plus_secs(secs)),
        unreported: unreported.iter().copied().map(name).collect(),
        ..Recovering::at_start(true)
    };
}

#[test]
fn recovering_holds_everybody_until_all_are_heard_and_g25_the_unheard_after_it() {
    let cases: [Case; 7] = [
        ("open", |_| (), None),
        (
            "no release is loaded",
            |s| s.fleet.recovering = Recovering::at_start(false),
            Some("recovering"),
        ),
        ("another is unheard", |s| starts(s, 90, &["b"]), Some("recovering")),
        ("everybody is heard before the time is up", |s| starts(s, 90, &[]), None),
        (
            "a millisecond before the deadline",
            |s| {
                starts(s, 90, &["b"]);
                s.wait_millis(89_999);
            },
            Some("recovering"),
        ),
        (
            "at the deadline, for a host that was heard",
            |s| {
                starts(s, 90, &["b"]);
                s.wait_millis(90_000);
            },
            None,
        ),
        (
            "at the deadline, for the host that was not",
            |s| {
                starts(s, 90, &["a"]);
                s.wait_millis(90_000);
            },
            Some("unreported"),
        ),
    ];
    table(Gate::Recovering, "stable@r1", "a", &one_host(), &cases);
}

fn liveness(scene: &mut Scene, heard: Option<Mono>) {
    scene.fleet.hosts.get_mut(&name("a")).unwrap().liveness.last_heartbeat = heard;
}

#[test]
fn offline_holds_beyond_offline_after_and_not_at_it() {
    let cases: [Case; 6] = [
        ("just heard", |_| (), None),
        ("at the limit", |s| _ = s.wait_millis(OFFLINE_AFTER_SECS * 1000), None),
        (
            "the second after it",
            |s| _ = s.wait_millis((OFFLINE_AFTER_SECS + 1) * 1000),
            Some("silent"),
        ),
        ("never heard", |s| liveness(s, None), Some("never-seen")),
        (
            "left out, and it returned this moment",
            |s| _ = s.edit("stable@r1", "a", |p| p.skip = Some(SkipReason::Offline)),
            Some("skipped-offline"),
        ),
        (
            "another rollout is open and its policy is shorter",
            |s| {
                s.open("edge@r1", Spec::waves(1).policy(|p| p.offline_after_secs = 1));
                s.wait_millis(5000);
            },
            None,
        ),
    ];
    table(Gate::Offline, "stable@r1", "a", &one_host(), &cases);
}

#[test]
fn g24_silence_counts_from_the_opening_of_the_recovering_gate() {
    let opened = |scene: &mut Scene, heard: u64, since: u64| {
        scene.fleet.recovering.opened_at = Some(START);
        liveness(scene, Some(Mono::from_millis(START.millis() - heard * 1000)));
        scene.wait_millis(since * 1000);
    };
    for (heard, since, expected) in [
        (60, OFFLINE_AFTER_SECS, None),
        (60, OFFLINE_AFTER_SECS + 1, Some("silent")),
        (10_000, OFFLINE_AFTER_SECS, None),
        (10_000, OFFLINE_AFTER_SECS + 1, Some("silent")),
    ] {
        let mut scene = one_host();
        opened(&mut scene, heard, since);
        let code = scene.code("stable@r1", "a", Gate::Offline);
        assert_eq!(code, expected, "heard {heard} s before it opened, {since} s ago");
    }
}

#[test]
fn g9_busy_holds_in_flight_elsewhere_and_rolling_back_unless_lost() {
    let failed = FailureClass::Artifact;
    let cases = [
        (HostState::Pending, None),
        (HostState::Activating, Some("busy-elsewhere")),
        (HostState::Deferred, None),
        (HostState::Soaking, Some("busy-elsewhere")),
        (HostState::Converged, None),
        (HostState::Reverted, None),
        (HostState::Skipped, None),
    ];
    for (state, expected) in cases {
        let mut scene = two_rollouts();
        scene.state("stable@r1", "a", state);
        assert_eq!(scene.code("stable@r2", "a", Gate::Busy), expected, "{state}");
        scene.edit("stable@r1", "a", |placement| placement.lost = true);
        assert_eq!(scene.code("stable@r2", "a", Gate::Busy), None, "{state}, lost");
    }
    for (rollback, expected) in [
        (Rollback::None, None),
        (Rollback::Running, Some("busy-elsewhere")),
        (Rollback::Done, None),
        (Rollback::Failed, None),
    ] {
        let mut scene = two_rollouts();
        scene.failed("stable@r1", "a", failed, rollback);
        assert_eq!(scene.code("stable@r2", "a", Gate::Busy), expected, "rollback {rollback:?}");
    }
    let mut here = one_host();
    here.state("stable@r1", "a", HostState::Soaking);
    assert_eq!(here.code("stable@r1", "a", Gate::Busy), None, "a rollout does not hold itself");
}

fn two_rollouts() -> Scene {
    let mut scene = one_host();
    scene.open("stable@r2", Spec::waves(1).order(2));
    scene.place("stable@r2", "a", 0);
    scene
}

#[test]
fn retry_holds_until_the_back_off_is_over_and_when_the_retries_are_used_up() {
    fn again(scene: &mut Scene, infra_failures: u32, retry_in_millis: Option<u64>) {
        scene.edit("stable@r1", "a", |placement| {
            placement.infra_failures = infra_failures;
            placement.retry_at = retry_in_millis.map(|millis| retry_at(START.plus_millis(millis)));
        });
    }
    let cases: [Case; 6] = [
        ("first attempt", |_| (), None),
        ("back-off runs", |s| again(s, 1, Some(1)), Some("back-off")),
        ("back-off is over at its end", |s| again(s, 1, Some(0)), None),
        ("no back-off is set", |s| again(s, 1, None), None),
        ("the last retry", |s| again(s, 3, Some(0)), None),
        ("one failure more", |s| again(s, 4, Some(0)), Some("retries-used-up")),
    ];
    table(Gate::Retry, "stable@r1", "a", &one_host(), &cases);
}

#[test]
fn a_host_without_heartbeat_is_never_dispatched_however_long_it_is_known() {
    let mut scene = one_host();
    liveness(&mut scene, None);
    scene.wait_millis(365 * 86_400_000);
    assert_eq!(scene.code("stable@r1", "a", Gate::Offline), Some("never-seen"));
    assert!(scene.fleet.placement(&id("stable@r1"), &name("a")).is_some());
    assert!(scene.dispatched().is_empty());
}
