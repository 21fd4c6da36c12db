//! E16: limits that are a share of a wave, at the sizes where rounding surprises.

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::WaveIndex;
use wavegate_proto::record::Rollback;
use wavegate_reconciler::gates::Gate;

use crate::scene::Scene;
use crate::spec::{Spec, id};

const SIZES: [u32; 6] = [1, 2, 3, 99, 100, 101];

/// Per cent, and how many that is of a wave of each size: rounded down.
const TOLERATED: [(u32, [u32; 6]); 5] = [
    (0, [0, 0, 0, 0, 0, 0]),
    (1, [0, 0, 0, 0, 1, 1]),
    (5, [0, 0, 0, 4, 5, 5]),
    (50, [0, 1, 1, 49, 50, 50]),
    (100, [1, 2, 3, 99, 100, 101]),
];

fn cases() -> impl Iterator<Item = (u32, u32, u32)> {
    TOLERATED.into_iter().flat_map(|(percent, tolerated)| {
        SIZES.into_iter().zip(tolerated).map(move |(size, limit)| (percent, size, limit))
    })
}

fn host(index: u32) -> String {
    format!("h{index:03}")
}

/// A first wave of so many converged hosts, and `z` in the second.
fn fleet(percent: u32, size: u32) -> Scene {
    let limit = Limit::Percent(percent);
    let spec = Spec::waves(2).policy(|policy| {
        policy.max_failures = limit;
        policy.max_infra_failures = limit;
    });
    let mut scene = Scene::with(spec);
    for index in 0..size {
        scene.place("stable@r1", &host(index), 0).converged("stable@r1", &host(index));
    }
    scene.place("stable@r1", "z", 1);
    scene
}

#[test]
fn e16_probes_holds_one_host_beyond_the_share() {
    for (percent, size, limit) in cases() {
        let mut scene = fleet(percent, size);
        for index in 0..limit {
            scene.degraded("stable@r1", &host(index));
        }
        let code = scene.code("stable@r1", "z", Gate::Probes);
        assert_eq!(code, None, "{limit} unhealthy of {size}, {percent} %");
        if limit < size {
            scene.degraded("stable@r1", &host(limit));
            let code = scene.code("stable@r1", "z", Gate::Probes);
            assert_eq!(code, Some("earlier-wave-unhealthy"), "one more of {size}, {percent} %");
        }
    }
}

#[test]
fn e16_a_rollout_fails_and_a_wave_is_not_done_one_failure_beyond_the_share() {
    let verdict = |scene: &Scene| {
        let rollout = &scene.fleet.rollouts[&id("stable@r1")];
        (rollout.wave_over_limit(), rollout.waves()[0].is_done(rollout.policy()))
    };
    for (percent, size, limit) in cases() {
        let mut scene = fleet(percent, size);
        for index in 0..limit {
            scene.failed("stable@r1", &host(index), FailureClass::Artifact, Rollback::Done);
        }
        assert_eq!(verdict(&scene), (None, true), "{limit} failed of {size}, {percent} %");
        if limit < size {
            scene.failed("stable@r1", &host(limit), FailureClass::Artifact, Rollback::Running);
            let expected = (Some(WaveIndex(0)), false);
            assert_eq!(verdict(&scene), expected, "one more of {size}, {percent} %");
        }
    }
}

/// G17: as a share it is never less than one; as a count it is what it says.
#[test]
fn g17_e16_a_freeze_comes_one_failure_beyond_the_share() {
    let lose = |scene: &mut Scene, index: u32| {
        scene.failed("stable@r1", &host(index), FailureClass::Host, Rollback::Done);
        scene.edit("stable@r1", &host(index), |placement| placement.infra_failures = 4);
    };
    for (percent, size, limit) in cases() {
        let limit = limit.max(1);
        let mut scene = fleet(percent, size);
        for index in 0..limit {
            lose(&mut scene, index);
        }
        assert!(!scene.rollout("stable@r1").should_freeze(), "{limit} of {size}, {percent} %");
        if limit < size {
            lose(&mut scene, limit);
            assert!(scene.rollout("stable@r1").should_freeze(), "one more of {size}, {percent} %");
        }
    }
    let spec = Spec::waves(1).policy(|policy| policy.max_infra_failures = Limit::Count(0));
    let mut scene = Scene::with(spec);
    scene.place("stable@r1", &host(0), 0);
    lose(&mut scene, 0);
    assert!(scene.rollout("stable@r1").should_freeze(), "a count of none is none");
}

#[test]
fn g17_a_failure_that_will_be_tried_again_freezes_nothing() {
    for (infra_failures, freezes) in [(1, false), (3, false), (4, true)] {
        let mut scene = Scene::with(Spec::waves(1));
        scene.place("stable@r1", "a", 0);
        scene.failed("stable@r1", "a", FailureClass::Network, Rollback::Done);
        scene.edit("stable@r1", "a", |placement| placement.infra_failures = infra_failures);
        let verdict = scene.rollout("stable@r1").should_freeze();
        assert_eq!(verdict, freezes, "after {infra_failures} failures of 3 retries");
    }
}
