//! E20: a rollout names every host its wave waits for, and nobody else.

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::plan::waiting_for;

use crate::scene::Scene;
use crate::spec::{Spec, id, name, wall};

/// Who is waited for, and for what.
fn waited(scene: &Scene) -> Vec<(String, String)> {
    let waiting = waiting_for(&scene.fleet.rollouts[&id("stable@r1")]);
    waiting.into_iter().map(|one| (one.host.to_string(), one.gate)).collect()
}

fn pair() -> Scene {
    let mut scene = Scene::with(Spec::waves(2).policy(|p| p.max_failures = Limit::Count(1)));
    scene.place("stable@r1", "a", 0).place("stable@r1", "b", 0).converged("stable@r1", "b");
    scene.place("stable@r1", "later", 1);
    scene
}

#[test]
fn e20_every_state_that_is_not_done_is_waited_for() {
    for (state, expected) in [
        (HostState::Pending, Some("pending")),
        (HostState::Activating, Some("activating")),
        (HostState::Deferred, Some("deferred")),
        (HostState::Soaking, Some("soaking")),
        (HostState::Converged, None),
        (HostState::Skipped, None),
    ] {
        let mut scene = pair();
        scene.state("stable@r1", "a", state);
        let expected: Vec<_> =
            expected.map(|gate| ("a".to_owned(), gate.to_owned())).into_iter().collect();
        assert_eq!(waited(&scene), expected, "{state}");
    }
}

#[test]
fn e20_a_dispatch_a_retry_and_a_host_nobody_knows_are_waited_for() {
    let mut scene = pair();
    scene.lease("stable@r1", "a");
    assert_eq!(waited(&scene), [("a".to_owned(), "dispatched".to_owned())]);
    let mut scene = pair();
    scene.failed("stable@r1", "a", FailureClass::Network, Rollback::Done);
    assert_eq!(waited(&scene), [("a".to_owned(), "failed".to_owned())], "it is tried again");
    scene.edit("stable@r1", "a", |placement| placement.infra_failures = 4);
    assert_eq!(waited(&scene).len(), 1, "retries used up, and none is tolerated");
    let mut scene = pair();
    scene.fleet.recovering.unreported.insert(name("a"));
    scene.fleet.refresh(&name("a"));
    assert_eq!(waited(&scene).len(), 1, "G25: it is not done");
}

#[test]
fn e20_a_host_left_out_for_its_silence_is_waited_for_only_while_nobody_converged() {
    let mut scene = pair();
    scene.place("stable@r1", "c", 0).state("stable@r1", "c", HostState::Soaking);
    scene.edit("stable@r1", "a", |placement| placement.skip = Some(SkipReason::Offline));
    assert_eq!(waited(&scene), [("c".to_owned(), "soaking".to_owned())], "b speaks for it");
    let mut scene = pair();
    for host in ["a", "b"] {
        scene.state("stable@r1", host, HostState::Pending);
        scene.edit("stable@r1", host, |placement| placement.skip = Some(SkipReason::Offline));
    }
    let hosts: Vec<_> = waited(&scene).into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["a", "b"], "G24");
}

#[test]
fn e20_a_wave_that_is_not_done_always_names_somebody() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut scene = Scene::with(Spec::waves(1));
        for index in 0..rng.usize(1..6) {
            let host = format!("h{index}");
            scene.place("stable@r1", &host, 0);
            match rng.u32(0..8) {
                0 => _ = scene.lease("stable@r1", &host),
                1 => _ = scene.state("stable@r1", &host, HostState::Soaking),
                2 => _ = scene.edit("stable@r1", &host, |p| p.skip = Some(SkipReason::Offline)),
                3 => _ = scene.edit("stable@r1", &host, |p| p.skip = Some(SkipReason::Removed)),
                4 => {
                    scene.failed("stable@r1", &host, FailureClass::Host, Rollback::Done);
                    scene.edit("stable@r1", &host, |p| p.infra_failures = rng.u32(0..6));
                }
                5 => _ = scene.edit("stable@r1", &host, |p| p.lost = true),
                _ => _ = scene.converged("stable@r1", &host),
            }
        }
        let rollout = &scene.fleet.rollouts[&id("stable@r1")];
        let named = !waiting_for(rollout).is_empty();
        let done = rollout.is_wave_over(wavegate_proto::ids::WaveIndex(0));
        assert_eq!(named, !done, "seed {seed}: {:?}", waited(&scene));
    }
}

#[test]
fn the_longest_comes_first_and_a_later_wave_and_a_finished_rollout_wait_for_nobody() {
    let mut scene = Scene::with(Spec::waves(2));
    for (host, secs) in [("a", 30), ("b", 10), ("c", 10), ("d", 20)] {
        scene.place("stable@r1", host, 0);
        scene.edit("stable@r1", host, |p| p.record.state_since = wall().plus_secs(secs));
    }
    scene.place("stable@r1", "later", 1);
    let hosts: Vec<_> = waited(&scene).into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["b", "c", "d", "a"]);
    for index in 0..30 {
        scene.place("stable@r1", &format!("h{index}"), 0);
    }
    assert_eq!(waited(&scene).len(), 20, "the first twenty are named");
    scene.rollout("stable@r1").state = RolloutState::Superseded;
    assert!(waited(&scene).is_empty());
}
