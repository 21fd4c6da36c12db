//! The whole system in the simulator: many seeds, everything that can go wrong, and the outcome that
//! must come about all the same.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::release_kit::{closure, policy, stable};
use wavegate_tests::sim::{Faults, Health, World};

const WAVES: [usize; 3] = [5, 15, 30];

#[test]
fn a_release_goes_out_wave_by_wave() {
    let mut world = World::new(1, 50, Faults::default());
    let first = closure("first");
    world.publish(1, &[stable("r1", &first, &WAVES, policy(&[60, 30, 10]))]);
    world.advance_until(3600, "r1 is terminal", |w| {
        w.rollout_state("stable@r1") == Some(RolloutState::Terminal)
    });
    assert!(world.all_run(&first));
    world.check_nothing_lost();
}

#[test]
fn a_bad_release_comes_back_and_a_fix_goes_out() {
    let mut world = World::new(2, 50, Faults::default());
    let (good, bad, fix) = (closure("good"), closure("bad"), closure("fix"));
    world.behaves(&bad, Health::Unhealthy);
    let spec = |reference, target| stable(reference, target, &WAVES, policy(&[60, 30, 10]));
    world.publish(1, &[spec("r1", &good)]);
    world.advance_until(3600, "r1 is terminal", |w| {
        w.rollout_state("stable@r1") == Some(RolloutState::Terminal)
    });
    world.publish(2, &[spec("r2", &bad)]);
    world.advance_until(3600, "r2 is reverted", |w| {
        w.rollout_state("stable@r2") == Some(RolloutState::Reverted)
    });
    assert!(world.all_run(&good), "every host is back on the good closure, or was never touched");
    world.publish(3, &[spec("r3", &fix)]);
    world.advance_until(3600, "r3 is terminal", |w| {
        w.rollout_state("stable@r3") == Some(RolloutState::Terminal)
    });
    assert!(world.all_run(&fix));
    world.check_nothing_lost();
}

/// How many seeds one run takes; more by hand: `WAVEGATE_SIM_SEEDS=1000`.
fn seeds() -> u64 {
    std::env::var("WAVEGATE_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

fn first_seed() -> u64 {
    std::env::var("WAVEGATE_SIM_FIRST_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}

/// A good release, a bad one and its fix, under faults of every kind, with one wiped database.
fn everything_goes_wrong(seed: u64) {
    let faults = Faults { lost_percent: 5, repeated_percent: 5, crashes: true, infra_percent: 3 };
    let mut world = World::new(seed, 50, faults);
    let (good, bad, fix) = (closure("good"), closure("bad"), closure("fix"));
    world.behaves(&bad, if seed.is_multiple_of(2) { Health::Unhealthy } else { Health::Broken });
    let spec = |reference, target| {
        stable(reference, target, &WAVES, policy(&[60, 30, 10])).budget("db", 2, 4)
    };
    world.publish(1, &[spec("r1", &good)]);
    world.advance(world.rng.clone().u64(60..900));
    if seed.is_multiple_of(3) {
        world.wipe();
    }
    world.advance_until(6 * 3600, "r1 is terminal", |w| {
        w.rollout_state("stable@r1") == Some(RolloutState::Terminal)
    });
    let backup = world.disk.clone();
    world.publish(2, &[spec("r2", &bad)]);
    world.advance(world.rng.clone().u64(10..300));
    match seed % 3 {
        1 => world.wipe(),
        2 => world.set_back(backup),
        _ => {}
    }
    world.advance_until(6 * 3600, "r2 is reverted", |w| {
        w.rollout_state("stable@r2") == Some(RolloutState::Reverted)
    });
    world.publish(3, &[spec("r3", &fix)]);
    world.advance(world.rng.clone().u64(60..900));
    world.calm();
    world.advance_until(6 * 3600, "r3 is terminal", |w| {
        w.rollout_state("stable@r3") == Some(RolloutState::Terminal)
    });
    world.advance(600);
    assert!(world.all_run(&fix));
    world.check_nothing_lost();
}

#[test]
fn many_seeds_with_faults_of_every_kind() {
    for seed in first_seed()..first_seed() + seeds() {
        println!("seed {seed}");
        everything_goes_wrong(seed);
    }
}
