//! The whole system in the simulator: many seeds, everything that can go wrong, and the outcome that
//! must come about all the same.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::release_kit::{closure, host_name, policy, stable};
use wavegate_tests::sim::tally::Tally;
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
    std::env::var("WAVEGATE_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS)
}

/// About as many as fit into a minute on two cores.
const SEEDS: u64 = 300;

/// Fewer seeds than this may miss a rare situation without anything being wrong.
const SEEDS_FOR_EVERY_SITUATION: u64 = 40;

fn first_seed() -> u64 {
    std::env::var("WAVEGATE_SIM_FIRST_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}

/// A good release, a bad one and its fix, under faults of every kind, with one wiped database, and in
/// some worlds a host that is away for half an hour.
fn everything_goes_wrong(seed: u64) -> Tally {
    let faults = Faults { lost_percent: 5, repeated_percent: 5, crashes: true, infra_percent: 3 };
    let mut world = World::new(seed, 50, faults);
    let (good, bad, fix) = (closure("good"), closure("bad"), closure("fix"));
    world.behaves(&bad, if seed.is_multiple_of(2) { Health::Unhealthy } else { Health::Broken });
    let spec = |reference, target| {
        let mut policy = policy(&[60, 30, 10]);
        policy.skip_offline_after_secs = Some(600);
        stable(reference, target, &WAVES, policy).budget("db", 2, 4)
    };
    world.publish(1, &[spec("r1", &good)]);
    world.advance(world.rng.clone().u64(60..400));
    let away = match seed % 4 {
        0 => world.in_flight(),
        1 => Some(host_name(world.rng.clone().usize(1..=50))),
        _ => None,
    };
    if let Some(host) = away {
        world.goes_away(&host, 1800);
    }
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
    world.advance_until(6 * 3600, "r3 is terminal and everybody runs the fix", |w| {
        w.rollout_state("stable@r3") == Some(RolloutState::Terminal) && w.all_run(&fix)
    });
    world.advance(600);
    assert!(world.all_run(&fix));
    world.check_nothing_lost();
    world.outcome()
}

/// R2: no invariant is broken, and the situations that the simulator is for have come about.
#[test]
fn many_seeds_with_faults_of_every_kind() {
    let mut tally = Tally::default();
    for seed in first_seed()..first_seed() + seeds() {
        println!("seed {seed}");
        tally.add(&everything_goes_wrong(seed));
    }
    println!("{tally}");
    if tally.seeds >= SEEDS_FOR_EVERY_SITUATION {
        let never = tally.never_reached();
        assert!(never.is_empty(), "never reached in {} seeds: {never:?}", tally.seeds);
    }
}
