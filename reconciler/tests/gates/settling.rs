//! `settle_silence` makes a plan cheaper and never another one: two random fleets, one of which is
//! settled before each plan, go through the same days.

use fastrand::Rng;

use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostState, Rollback};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::plan::{Action, Plan, plan};

use crate::budgets::counts_in;
use crate::scene::Scene;
use crate::spec::{Spec, id, name};

const HOSTS: usize = 8;
const STEPS: usize = 60;
const ROLLOUTS: [&str; 3] = ["omega@r1", "omega@r2", "alpha@r1"];

fn host(rng: &mut Rng) -> String {
    format!("h{}", rng.usize(0..HOSTS))
}

fn fleet(rng: &mut Rng) -> Scene {
    let mut scene = Scene::new();
    let skip_after = [None, Some(100), Some(3000)];
    for (order, rollout) in (1..).zip(ROLLOUTS) {
        let skip_offline_after_secs = *rng.choice(skip_after.iter()).unwrap();
        let spec = Spec::waves(2).order(order).budget("db", rng.u32(1..4));
        scene.open(rollout, spec.policy(|p| p.skip_offline_after_secs = skip_offline_after_secs));
    }
    scene.rollout("omega@r1").state = RolloutState::Superseded;
    for index in 0..HOSTS {
        let channel = if index.is_multiple_of(3) { &ROLLOUTS[2..] } else { &ROLLOUTS[..2] };
        for rollout in channel {
            scene.place_with(rollout, &format!("h{index}"), rng.u32(0..2), counts_in("db"));
        }
    }
    scene
}

/// A host speaks: as the core does it, counters are refreshed only where that ends something.
fn heartbeat(scene: &mut Scene, host: &str) {
    let now = scene.now;
    let known = scene.fleet.hosts.get_mut(&name(host)).unwrap();
    known.liveness.last_heartbeat = Some(now.mono);
    if scene.fleet.is_set_aside_for_silence(&name(host)) {
        scene.fleet.refresh(&name(host));
    }
}

fn change(scene: &mut Scene, rng: &mut Rng, host: &str) {
    let mine: Vec<_> = ROLLOUTS
        .into_iter()
        .filter(|rollout| scene.fleet.placement(&id(rollout), &name(host)).is_some())
        .collect();
    let rollout = *rng.choice(mine.iter()).unwrap();
    match rng.u32(0..4) {
        0 => {
            let state = HostState::ALL[rng.usize(0..HostState::ALL.len())];
            scene.state(rollout, host, state);
        }
        1 => _ = scene.failed(rollout, host, FailureClass::Artifact, Rollback::Running),
        2 => _ = scene.lease(rollout, host),
        _ => _ = scene.converged(rollout, host),
    }
}

fn carry_out(scene: &mut Scene, plan: &Plan) {
    for action in &plan.actions {
        match action {
            Action::Dispatch { rollout_id, host, .. } => {
                _ = scene.lease(&rollout_id.to_string(), host.as_str());
            }
            Action::SkipOffline { rollout_id, host } => {
                let skip = Some(SkipReason::Offline);
                _ = scene.fleet.change(rollout_id, host, |placement| placement.skip = skip);
            }
            Action::Unskip { rollout_id, host } => {
                _ = scene.fleet.change(rollout_id, host, |placement| placement.skip = None);
            }
            Action::MarkLost { rollout_id, host } => {
                _ = scene.fleet.change(rollout_id, host, |placement| placement.lost = true);
            }
            Action::MarkFound { rollout_id, host } => {
                _ = scene.fleet.change(rollout_id, host, |placement| placement.lost = false);
            }
        }
    }
}

/// One thing that happens, the same to whichever fleet it is given.
fn step(scene: &mut Scene, rng: &mut Rng) {
    match rng.u32(0..4) {
        0 => {
            let secs = [1, 60, 179, 180, 181, 1080, 1081, 3001];
            scene.wait_millis(rng.choice(secs.iter()).unwrap() * 1000);
        }
        1 => {
            let host = host(rng);
            change(scene, rng, &host);
        }
        _ => {
            for _ in 0..rng.usize(1..HOSTS) {
                let host = host(rng);
                heartbeat(scene, &host);
            }
        }
    }
}

#[test]
fn settling_silence_never_changes_a_plan() {
    let (mut skipped, mut returned, mut lost) = (0_u32, 0_u32, 0_u32);
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let mut plain = fleet(&mut rng);
        let mut settled = plain.clone();
        for number in 0..STEPS {
            let mut same = rng.clone();
            step(&mut plain, &mut rng);
            step(&mut settled, &mut same);
            settled.fleet.settle_silence(settled.now.mono);
            let expected = plan(&plain.fleet, plain.now);
            assert_eq!(plan(&settled.fleet, settled.now), expected, "seed {seed}, step {number}");
            for action in &expected.actions {
                match action {
                    Action::Dispatch { .. } => {}
                    Action::SkipOffline { .. } => skipped += 1,
                    Action::Unskip { .. } | Action::MarkFound { .. } => returned += 1,
                    Action::MarkLost { .. } => lost += 1,
                }
            }
            carry_out(&mut plain, &expected);
            carry_out(&mut settled, &expected);
        }
    }
    assert!(skipped > 100 && returned > 100 && lost > 50, "{skipped} {returned} {lost}");
}
