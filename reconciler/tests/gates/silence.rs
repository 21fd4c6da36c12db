//! What follows from silence alone: skipped, taken in again, lost.

use wavegate_proto::record::HostState;
use wavegate_proto::time::Mono;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::plan::{Action, plan};

use crate::scene::Scene;
use crate::spec::{OFFLINE_AFTER_SECS, START, Spec, name};

const SKIP_AFTER_SECS: u64 = 3000;
const LOST_AFTER_SECS: u64 = 900 + OFFLINE_AFTER_SECS;

fn fleet(skip_after_secs: Option<u64>, hosts: &[&str]) -> Scene {
    let spec = Spec::waves(1).policy(|policy| policy.skip_offline_after_secs = skip_after_secs);
    let mut scene = Scene::with(spec);
    for host in hosts {
        scene.place("stable@r1", host, 0);
    }
    scene
}

fn heard(scene: &mut Scene, host: &str) {
    let now = scene.now;
    scene.fleet.hosts.get_mut(&name(host)).unwrap().liveness.last_heartbeat = Some(now.mono);
}

/// What is done besides dispatching, in order.
fn done(scene: &Scene) -> Vec<String> {
    let actions = plan(&scene.fleet, scene.now).actions;
    let lines = actions.iter().filter_map(|action| match action {
        Action::Dispatch { .. } => None,
        Action::SkipOffline { host, .. } => Some(format!("skip {host}")),
        Action::Unskip { host, .. } => Some(format!("unskip {host}")),
        Action::MarkLost { host, .. } => Some(format!("lost {host}")),
        Action::MarkFound { host, .. } => Some(format!("found {host}")),
    });
    lines.collect()
}

fn after_silence(mut scene: Scene, silent: &str, secs: u64) -> Vec<String> {
    scene.wait_millis(secs * 1000);
    let others: Vec<_> = scene.fleet.hosts.keys().map(ToString::to_string).collect();
    for host in others.iter().filter(|host| *host != silent) {
        heard(&mut scene, host);
    }
    done(&scene)
}

#[test]
fn a_silent_host_is_left_out_beyond_skip_offline_after_and_not_at_it() {
    for (skip_after, secs, expected) in [
        (Some(SKIP_AFTER_SECS), SKIP_AFTER_SECS, &[][..]),
        (Some(SKIP_AFTER_SECS), SKIP_AFTER_SECS + 1, &["skip a"][..]),
        (None, 30 * 86_400, &[][..]),
        // Shorter than offline: the longer counts.
        (Some(1), OFFLINE_AFTER_SECS, &[][..]),
        (Some(1), OFFLINE_AFTER_SECS + 1, &["skip a"][..]),
    ] {
        let scene = fleet(skip_after, &["a", "b", "c"]);
        assert_eq!(after_silence(scene, "a", secs), expected, "{skip_after:?}, {secs} s");
    }
}

#[test]
fn a_host_in_flight_is_lost_beyond_activation_timeout_and_offline_after() {
    for (state, secs, expected) in [
        (HostState::Activating, LOST_AFTER_SECS, &[][..]),
        (HostState::Activating, LOST_AFTER_SECS + 1, &["lost a"][..]),
        (HostState::Soaking, LOST_AFTER_SECS + 1, &["lost a"][..]),
        (HostState::Deferred, LOST_AFTER_SECS + 1, &[][..]),
        (HostState::Converged, LOST_AFTER_SECS + 1, &[][..]),
    ] {
        let mut scene = fleet(None, &["a", "b", "c"]);
        scene.state("stable@r1", "a", state);
        assert_eq!(after_silence(scene, "a", secs), expected, "{state}, {secs} s");
    }
}

#[test]
fn whoever_returns_is_taken_in_again() {
    let mut scene = fleet(Some(SKIP_AFTER_SECS), &["a", "b", "c"]);
    scene.edit("stable@r1", "a", |placement| placement.skip = Some(SkipReason::Offline));
    scene.state("stable@r1", "b", HostState::Soaking);
    scene.edit("stable@r1", "b", |placement| placement.lost = true);
    let set_aside = ["a", "b", "c"].map(|host| scene.fleet.is_set_aside_for_silence(&name(host)));
    assert_eq!(set_aside, [true, true, false]);
    assert_eq!(done(&scene), ["unskip a", "found b"]);
    scene.wait_millis((OFFLINE_AFTER_SECS + 1) * 1000);
    assert!(done(&scene).is_empty(), "nobody has spoken");
}

#[test]
fn g24_when_over_half_the_fleet_is_silent_nobody_is_left_out() {
    for (silent, expected) in [(1, 1), (2, 2), (3, 0), (4, 0)] {
        let hosts = ["a", "b", "c", "d"];
        let mut scene = fleet(Some(SKIP_AFTER_SECS), &hosts);
        scene.wait_millis((SKIP_AFTER_SECS + 1) * 1000);
        for host in &hosts[silent..] {
            heard(&mut scene, host);
        }
        assert_eq!(done(&scene).len(), expected, "{silent} of 4 are silent");
    }
}

#[test]
fn g24_silence_is_not_counted_from_before_the_gate_opened() {
    let mut scene = fleet(Some(SKIP_AFTER_SECS), &["a", "b", "c"]);
    scene.fleet.recovering.opened_at = Some(START);
    let long_ago = Some(Mono::from_millis(1));
    scene.fleet.hosts.get_mut(&name("a")).unwrap().liveness.last_heartbeat = long_ago;
    scene.fleet.refresh(&name("a"));
    assert!(after_silence(scene.clone(), "a", SKIP_AFTER_SECS).is_empty());
    assert_eq!(after_silence(scene, "a", SKIP_AFTER_SECS + 1), ["skip a"]);
}

/// G9: what follows from silence goes first; whoever waits is looked at in the next plan.
#[test]
fn g9_nobody_is_dispatched_in_the_plan_that_leaves_somebody_out() {
    let mut scene = fleet(Some(SKIP_AFTER_SECS), &["a", "b", "c"]);
    scene.wait_millis((SKIP_AFTER_SECS + 1) * 1000);
    for host in ["b", "c"] {
        heard(&mut scene, host);
    }
    assert_eq!(done(&scene), ["skip a"]);
    assert!(scene.dispatched().is_empty());
    scene.edit("stable@r1", "a", |placement| placement.skip = Some(SkipReason::Offline));
    assert_eq!(scene.dispatched(), ["stable@r1 b", "stable@r1 c"]);
}

/// Until the fleet has been heard nothing is planned at all, and nothing reported of each host.
#[test]
fn g25_a_fleet_that_is_not_heard_yet_has_an_empty_plan() {
    let mut scene = fleet(Some(SKIP_AFTER_SECS), &["a", "b", "c"]);
    scene.fleet.recovering.opened_at = None;
    scene.wait_millis((SKIP_AFTER_SECS + 1) * 1000);
    let empty = plan(&scene.fleet, scene.now);
    assert_eq!((empty.actions, empty.report.held), (Vec::new(), Vec::new()));
}

/// E21: rollouts by opening, hosts by wave, then name: not by who has been silent longest.
#[test]
fn e21_what_follows_from_silence_has_the_order_of_everything_else() {
    let mut scene = Scene::new();
    let skips = |policy: &mut wavegate_proto::artifact::policy::Policy| {
        policy.skip_offline_after_secs = Some(SKIP_AFTER_SECS);
    };
    scene.open("omega@r1", Spec::waves(2).order(1).policy(skips));
    scene.open("alpha@r1", Spec::waves(1).order(2).policy(skips));
    scene.place("omega@r1", "y", 1).wait_millis(1000);
    scene.place("alpha@r1", "a", 0).wait_millis(1000);
    scene.place("omega@r1", "z", 0).wait_millis(1000);
    scene.place("omega@r1", "x", 1);
    scene.wait_millis((SKIP_AFTER_SECS + 1) * 1000);
    for host in ["c", "d", "e", "f"] {
        scene.place("alpha@r1", host, 0);
    }
    assert_eq!(done(&scene), ["skip z", "skip x", "skip y", "skip a"]);
}
