//! The probes gate: hosts of an earlier wave that are unhealthy now.

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::record::{HostState, ProbeKind, ProbeMode, ProbeRecord, ProbeStatus};
use wavegate_reconciler::gates::{Gate, Hold};

use crate::scene::Scene;
use crate::spec::Spec;

const UNHEALTHY: Option<&str> = Some("earlier-wave-unhealthy");

/// Two hosts in each of the first two waves, all converged; `z` in the last.
fn fleet(tolerated: u32) -> Scene {
    let limit = Limit::Count(tolerated);
    let mut scene = Scene::with(Spec::waves(3).policy(|p| p.max_failures = limit));
    for (host, wave) in [("a", 0), ("b", 0), ("c", 1), ("d", 1)] {
        scene.place("stable@r1", host, wave).converged("stable@r1", host);
    }
    scene.place("stable@r1", "z", 2);
    scene
}

fn probe(scene: &mut Scene, host: &str, mode: ProbeMode, status: ProbeStatus) {
    scene.edit("stable@r1", host, |placement| {
        placement.record.probes = vec![ProbeRecord {
            name: "http".parse().unwrap(),
            kind: ProbeKind::Http,
            mode,
            status,
            failing_since: None,
            reason: None,
        }];
    });
}

#[test]
fn g13_probes_holds_beyond_the_limit_of_one_wave_and_not_at_it() {
    for (tolerated, degraded, expected) in [
        (0, &[][..], None),
        (0, &["a"][..], UNHEALTHY),
        (0, &["d"][..], UNHEALTHY),
        (1, &["a"][..], None),
        (1, &["a", "c"][..], None),
        (1, &["a", "b"][..], UNHEALTHY),
        (2, &["a", "b", "c", "d"][..], None),
    ] {
        let mut scene = fleet(tolerated);
        for host in degraded {
            scene.degraded("stable@r1", host);
        }
        let code = scene.code("stable@r1", "z", Gate::Probes);
        assert_eq!(code, expected, "{degraded:?} with {tolerated} tolerated");
    }
    let mut scene = fleet(0);
    scene.degraded("stable@r1", "d");
    let expected =
        Hold::Unhealthy { wave: wavegate_proto::ids::WaveIndex(1), hosts: 1, tolerated: 0 };
    assert_eq!(scene.hold("stable@r1", "z", Gate::Probes), Some(expected));
}

#[test]
fn e8_a_probe_holds_only_while_it_fails_now() {
    let mut scene = fleet(0);
    for (status, expected) in [
        (ProbeStatus::Pass, None),
        (ProbeStatus::Fail, UNHEALTHY),
        (ProbeStatus::Pass, None),
        (ProbeStatus::Unknown, None),
    ] {
        probe(&mut scene, "a", ProbeMode::Enforce, status);
        assert_eq!(scene.code("stable@r1", "z", Gate::Probes), expected, "{status:?}");
    }
    for mode in [ProbeMode::Observe, ProbeMode::Disabled] {
        probe(&mut scene, "a", mode, ProbeStatus::Fail);
        assert_eq!(scene.code("stable@r1", "z", Gate::Probes), None, "{mode:?} decides nothing");
    }
}

#[test]
fn probes_asks_the_waves_before_and_not_its_own() {
    let mut scene = fleet(0);
    scene.place("stable@r1", "y", 2).degraded("stable@r1", "y");
    assert_eq!(scene.code("stable@r1", "z", Gate::Probes), None, "its own wave");
    scene.degraded("stable@r1", "c");
    assert_eq!(scene.code("stable@r1", "a", Gate::Probes), None, "a later wave");
    assert_eq!(scene.code("stable@r1", "z", Gate::Probes), UNHEALTHY);
    scene.state("stable@r1", "c", HostState::Reverted);
    assert_eq!(scene.code("stable@r1", "z", Gate::Probes), None, "a failure is the wave's matter");
}
