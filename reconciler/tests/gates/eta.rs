//! When a rollout is expected to end, case by case.

use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::forecast::{Basis, Expected};
use wavegate_reconciler::forecast::{Durations, RolloutForecast, forecast};

use crate::scene::Scene;
use crate::spec::{Spec, channel, id, name, wall};

const ROLLOUT: &str = "stable@r1";
const SOAK_SECS: u64 = 60;

fn expect(scene: &Scene, rollout: &str) -> RolloutForecast {
    forecast(&scene.fleet, &scene.fleet.rollouts[&id(rollout)], scene.now)
}

/// Seconds from now, p50 and p90.
fn secs(scene: &Scene, expected: Expected) -> (i64, i64) {
    (expected.p50.secs_since(scene.now.wall), expected.p90.secs_since(scene.now.wall))
}

fn end(scene: &Scene) -> Option<(i64, i64)> {
    let eta = expect(scene, ROLLOUT).eta?;
    Some(secs(scene, Expected { p50: eta.p50, p90: eta.p90 }))
}

/// It converged so many seconds after its acknowledgement, the soak not counted.
fn took(scene: &mut Scene, rollout: &str, host: &str, secs: u64) {
    scene.converged(rollout, host);
    scene.edit(rollout, host, |placement| {
        let record = &mut placement.record;
        record.dispatch_acked_at = Some(wall());
        record.activation_completed_at = Some(wall().plus_secs(secs));
        record.converged_at = Some(wall().plus_secs(secs + SOAK_SECS));
    });
}

/// Three canaries that took 100 s each, so that everybody is expected to; wave 1 is being worked on.
fn fleet(waiting: &[&str]) -> Scene {
    let mut scene = Scene::with(Spec::waves(2).budget("slots", 2));
    for canary in ["canary-1", "canary-2", "canary-3"] {
        scene.place(ROLLOUT, canary, 0);
        took(&mut scene, ROLLOUT, canary, 100);
    }
    for host in waiting {
        scene.place(ROLLOUT, host, 1);
    }
    scene.rollout(ROLLOUT).current_wave = wavegate_proto::ids::WaveIndex(1);
    scene
}

#[test]
fn a_wave_takes_what_its_hosts_took_before_and_its_soak() {
    let scene = fleet(&["a", "b"]);
    assert_eq!(end(&scene), Some((160, 160)));
    let expected = expect(&scene, ROLLOUT);
    assert_eq!(expected.eta.unwrap().basis, Basis::Rollout);
    assert_eq!(expected.waves[0], None, "it is done");
    assert_eq!(secs(&scene, expected.waves[1].unwrap()), (160, 160));
}

#[test]
fn what_keeps_hosts_apart_makes_rounds_of_them() {
    let budget = |scene: &mut Scene, hosts: &[&str]| {
        for host in hosts {
            scene.place_with(ROLLOUT, host, 1, |entry| {
                entry.budgets = vec!["slots".parse().unwrap()];
            });
        }
    };
    let mut two_at_once = fleet(&[]);
    budget(&mut two_at_once, &["a", "b", "c", "d", "e"]);
    assert_eq!(end(&two_at_once), Some((3 * 160, 3 * 160)));

    let mut chain = fleet(&["a"]);
    chain.place_with(ROLLOUT, "b", 1, |entry| entry.after = vec![name("a")]);
    chain.place_with(ROLLOUT, "c", 1, |entry| entry.after = vec![name("b"), name("a")]);
    chain.place_with(ROLLOUT, "d", 1, |entry| entry.after = vec![name("canary-1")]);
    assert_eq!(end(&chain), Some((3 * 160, 3 * 160)));

    let mut ramp = Scene::with(Spec::waves(1).policy(|policy| {
        policy.max_dispatch_per_minute = Some(2);
    }));
    for host in ["canary-1", "canary-2", "canary-3"] {
        ramp.place(ROLLOUT, host, 0);
        took(&mut ramp, ROLLOUT, host, 100);
    }
    for host in ["a", "b", "c", "d", "e"] {
        ramp.place(ROLLOUT, host, 0);
    }
    assert_eq!(end(&ramp), Some((120 + 160, 120 + 160)), "the fifth goes in the third minute");
}

#[test]
fn the_slowest_of_many_makes_the_wave_long_and_p90_later_than_p50() {
    let mut scene = fleet(&["a"]);
    took(&mut scene, ROLLOUT, "canary-3", 200);
    let (p50, p90) = end(&scene).unwrap();
    assert_eq!(
        (p50, p90),
        (160, 240),
        "samples 100, 100, 200: the median, and on the way to the slowest"
    );
    for host in ["b", "c", "d", "e", "f", "g", "h"] {
        scene.place(ROLLOUT, host, 1);
    }
    let (p50, p90) = end(&scene).unwrap();
    assert!(p50 > 240 && p90 > p50 && p90 <= 260, "{p50} {p90}");
}

#[test]
fn what_is_under_way_has_some_of_it_behind_it() {
    let mut scene = fleet(&["a", "b"]);
    let now = scene.now.wall;
    scene.state(ROLLOUT, "a", HostState::Activating);
    scene.edit(ROLLOUT, "a", |placement| placement.record.dispatched_at = Some(now));
    scene.state(ROLLOUT, "b", HostState::Soaking);
    scene.edit(ROLLOUT, "b", |placement| placement.record.activation_completed_at = Some(now));
    scene.wait_millis(40_000);
    assert_eq!(end(&scene), Some((120, 120)));
    scene.converged(ROLLOUT, "a");
    assert_eq!(end(&scene), Some((20, 20)));
    scene.wait_millis(100_000);
    assert_eq!(end(&scene), Some((0, 0)), "overdue: any time now");
}

#[test]
fn later_waves_begin_when_the_one_before_has_ended() {
    let mut scene = Scene::with(Spec::waves(3));
    for canary in ["canary-1", "canary-2", "canary-3"] {
        scene.place(ROLLOUT, canary, 0);
        took(&mut scene, ROLLOUT, canary, 40);
    }
    scene.place(ROLLOUT, "canary-4", 0).place(ROLLOUT, "a", 1).place(ROLLOUT, "b", 2);
    let waves = expect(&scene, ROLLOUT).waves;
    let ends: Vec<_> = waves.into_iter().map(|wave| secs(&scene, wave.unwrap())).collect();
    assert_eq!(ends, [(100, 100), (200, 200), (300, 300)]);
}

#[test]
fn the_basis_is_this_rollout_then_the_channel_then_the_policy() {
    let mut scene = Scene::with(Spec::waves(1));
    let basis = |scene: &Scene| {
        Durations::of(&scene.fleet, &scene.fleet.rollouts[&id("stable@r2")]).basis()
    };
    scene.open("stable@r2", Spec::waves(1).order(2));
    for (number, host) in ["a", "b", "c"].into_iter().enumerate() {
        scene.place(ROLLOUT, host, 0).place("stable@r2", host, 0);
        assert_eq!(basis(&scene), Basis::Policy, "{number} hosts");
        took(&mut scene, ROLLOUT, host, 10);
    }
    assert_eq!(basis(&scene), Basis::Channel);
    let of_policy = Durations::of_policy(scene.fleet.rollouts[&id("stable@r2")].policy());
    assert_eq!(of_policy.quantile_secs(0.0).round(), 15.0);
    assert_eq!(of_policy.quantile_secs(1.0).round(), 272.0);
    for host in ["a", "b", "c"] {
        took(&mut scene, "stable@r2", host, 20);
    }
    assert_eq!(basis(&scene), Basis::Rollout);
    let known = Durations::of(&scene.fleet, &scene.fleet.rollouts[&id("stable@r2")]);
    assert_eq!(known.mean_secs().round(), 20.0);
}

/// What waits for something that may never come has no end; what ends it without anybody's doing has.
#[test]
fn no_end_is_made_up() {
    let silent = |skip_after_secs| {
        let mut scene = fleet(&["a", "b"]);
        let rollout = scene.rollout(ROLLOUT);
        let mut manifest = (*rollout.manifest).clone();
        manifest.header.policy.skip_offline_after_secs = skip_after_secs;
        rollout.manifest = manifest.into();
        scene.fleet.hosts.get_mut(&name("b")).unwrap().liveness.last_heartbeat = None;
        scene
    };
    assert_eq!(end(&silent(None)), None);
    let scene = silent(Some(3 * 86_400));
    assert_eq!(end(&scene), Some((3 * 86_400, 3 * 86_400)), "known since now");

    let mut halted = fleet(&["a", "b"]);
    halted.failed(ROLLOUT, "a", FailureClass::Artifact, Rollback::Done);
    halted.rollout(ROLLOUT).state = wavegate_proto::wire::operator::RolloutState::Failed;
    assert_eq!(end(&halted), None);

    let mut waits_for_a_reboot = fleet(&["a", "b"]);
    waits_for_a_reboot.state(ROLLOUT, "a", HostState::Deferred);
    assert_eq!(end(&waits_for_a_reboot), None);
    assert!(expect(&waits_for_a_reboot, ROLLOUT).waves[1].is_some(), "the wave itself goes on");

    let mut done = fleet(&["a"]);
    took(&mut done, ROLLOUT, "a", 100);
    assert_eq!(expect(&done, ROLLOUT), RolloutForecast { eta: None, waves: vec![None, None] });
}

/// A dispatch that is not acknowledged yet has nothing behind it; a quarantined closure goes nowhere.
#[test]
fn a_dispatch_counts_from_now_and_a_quarantine_has_no_end() {
    let mut scene = fleet(&["a"]);
    scene.lease(ROLLOUT, "a");
    assert_eq!(end(&scene), Some((160, 160)));
    let mut quarantined = fleet(&["a"]);
    let entry = &quarantined.fleet.placement(&id(ROLLOUT), &name("a")).unwrap().entry;
    let key = (channel("stable"), entry.closure.clone());
    let document = wavegate_proto::wire::operator::QuarantineDocument {
        channel: key.0.clone(),
        closure: key.1.clone(),
        since: wall(),
        host: name("a"),
        rollout_id: id(ROLLOUT),
        attempt: wavegate_proto::ids::Attempt(1),
        reason: "probe-failed".to_owned(),
        source: wavegate_proto::wire::operator::QuarantineSource::Rollback,
    };
    let log_seq = wavegate_proto::ids::LogSeq(1);
    let quarantine = wavegate_reconciler::fleet::Quarantine { document, log_seq };
    quarantined.fleet.quarantines.insert(key, quarantine);
    assert_eq!(end(&quarantined), None);
}

#[test]
fn a_channel_begins_when_those_before_it_have_ended() {
    let mut scene = fleet(&["a"]);
    for (rollout, host) in [("edge@e1", "edge-1"), ("core@c1", "core-1")] {
        scene.open(rollout, Spec::waves(1));
        for sample in ["x", "y", "z"] {
            let sample = format!("{host}-{sample}");
            scene.place(rollout, &sample, 0);
            took(&mut scene, rollout, &sample, 40);
        }
        scene.place(rollout, host, 0);
    }
    let mut after = |after: &str, before: &[&str]| {
        let known = scene.fleet.channels.get_mut(&channel(after)).unwrap();
        known.after = before.iter().map(|name| channel(name)).collect();
    };
    after("core", &["edge"]);
    after("stable", &["core", "edge"]);
    assert_eq!(end(&scene), Some((100 + 100 + 160, 100 + 100 + 160)));
    scene.fleet.hosts.get_mut(&name("edge-1")).unwrap().liveness.last_heartbeat = None;
    assert_eq!(end(&scene), None);
}
