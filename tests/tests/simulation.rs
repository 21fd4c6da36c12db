//! The whole system in the simulator: many seeds, everything that can go wrong, and the outcome that
//! must come about all the same.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::release_kit::{closure, host_name, policy, stable};
use wavegate_tests::sim::story;
use wavegate_tests::sim::tally::{Rare, Tally};
use wavegate_tests::sim::trace::Trace;
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

/// A number from the environment, for runs by hand: see `cargo xtask sim`.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Err(_) => default,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
    }
}

/// About as many as fit into a minute on two cores.
const SEEDS: u64 = 150;
const STORIES: u64 = 120;

/// Hosts of a story.
const STORY_HOSTS: u64 = 40;

/// Fewer seeds than this may miss a rare situation without anything being wrong.
const SEEDS_FOR_EVERY_SITUATION: u64 = 40;

/// Hosts whose disks are as they left them have the journals that are known of them: these may come about, and
/// nothing but a new or an older disk has to bring them about. `core` and `state-machine` have tests of those.
const MAY_NOT_COME_ABOUT: [Rare; 2] = [Rare::JournalReplaced, Rare::JournalDiverged];

/// A good release, a bad one and its fix, under faults of every kind, with one wiped database, and in
/// some worlds a host that is away for half an hour.
fn everything_goes_wrong(seed: u64) -> Tally {
    let faults = Faults {
        lost_percent: 5,
        repeated_percent: 5,
        crashes: true,
        infra_percent: 3,
        ..Faults::default()
    };
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
    for seed in 100..100 + SEEDS {
        println!("seed {seed}");
        tally.add(&everything_goes_wrong(seed));
    }
    println!("{tally}");
}

/// R2: random fleets, policies and releases, compared with what a second opinion foretells.
#[test]
fn stories_end_as_they_are_foretold() {
    let first = setting("WAVEGATE_SIM_FIRST_SEED", 1);
    let seeds = setting("WAVEGATE_SIM_SEEDS", STORIES);
    let hosts = setting("WAVEGATE_SIM_HOSTS", STORY_HOSTS);
    let tally = tell(first..first + seeds, usize::try_from(hosts).unwrap());
    println!("{tally}");
    if tally.seeds >= SEEDS_FOR_EVERY_SITUATION {
        let mut never = tally.never_reached();
        never.retain(|rare| !MAY_NOT_COME_ABOUT.contains(rare));
        assert!(never.is_empty(), "never reached in {} seeds: {never:?}", tally.seeds);
    }
}

/// Plays the stories of `seeds` on every core.
fn tell(seeds: std::ops::Range<u64>, hosts: usize) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let told = play(seed, hosts);
                    let mut tally = tally.lock().unwrap();
                    tally.add(&told);
                    if tally.seeds.is_multiple_of(500) {
                        println!("{tally}");
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// A story that fails is played once more, with everything written down.
fn play(seed: u64, hosts: usize) -> Tally {
    let panic = match std::panic::catch_unwind(|| story::play(seed, hosts, Trace::default())) {
        Ok(tally) => return tally,
        Err(panic) => panic,
    };
    let trace = Trace::on();
    let again = std::panic::catch_unwind({
        let trace = trace.clone();
        move || story::play(seed, hosts, trace)
    });
    assert!(again.is_err(), "seed {seed} failed, and did not fail again");
    let lines = trace.lines();
    let path = std::env::temp_dir().join(format!("wavegate-sim-{seed}-{hosts}.trace"));
    std::fs::write(&path, lines.join("\n")).unwrap();
    for line in &lines[lines.len().saturating_sub(60)..] {
        println!("{line}");
    }
    println!("seed {seed} with {hosts} hosts; the whole trace is in {}", path.display());
    println!("again: cargo xtask sim --seeds 1 --first {seed} --hosts {hosts}");
    std::panic::resume_unwind(panic);
}
