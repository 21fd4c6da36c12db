//! R5: power cuts and failing disks, many of them, on the stores that the programs really use.
//!
//! `WAVEGATE_POWER_CUTS` says how many, `WAVEGATE_POWER_SEED` where to begin; `cargo xtask power` is the
//! long one.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

use std::time::Instant;

use wavegate_agent::journal::Journal;
use wavegate_control_plane::store::Store;
use wavegate_tests::power::bare::Bare;
use wavegate_tests::power::disk::{Fault, Syncs};
use wavegate_tests::power::trial::{Plan, Subject, first_start, run, trial};

/// Of each store, which are tried beside each other: what fits into a minute on two cores.
const CUTS: u64 = 25_000;

/// Fewer cuts than this may miss a rare situation without anything being wrong.
const CUTS_FOR_EVERY_SITUATION: u64 = 5_000;

fn cuts() -> u64 {
    std::env::var("WAVEGATE_POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().unwrap())
}

fn seed() -> u64 {
    std::env::var("WAVEGATE_POWER_SEED").map_or(1, |seed| seed.parse().unwrap())
}

/// `never`: situations that this store cannot meet.
fn loses_nothing<S: Subject>(what: &str, never: &[&str]) {
    let begun = Instant::now();
    let tally = run::<S>(seed(), cuts(), Plan::default()).unwrap_or_else(|lost| panic!("{lost}"));
    println!("{what}: {tally}\n    {:.1} s", begun.elapsed().as_secs_f64());
    if tally.cuts >= CUTS_FOR_EVERY_SITUATION {
        assert_eq!(tally.never_met(), never, "never met in {} cuts", tally.cuts);
    }
}

#[test]
fn r5_the_control_planes_store_loses_nothing_it_acknowledged() {
    loses_nothing::<Store>("control plane", &[]);
}

#[test]
fn r5_the_agents_journal_loses_nothing_it_acknowledged() {
    // It never checkpoints by itself; SQLite does when it is closed.
    loses_nothing::<Journal>("agent", &["Checkpointing"]);
}

/// The fates of what was not synced, for each moment.
const FATES: u64 = 6;

/// Starts for the first time, with `fault` at each moment at which it can happen.
fn first_starts<S: Subject>(fault: Fault) -> u64 {
    for after in 0..1000 {
        for seed in 0..FATES {
            let start = first_start::<S>(seed, fault, after)
                .unwrap_or_else(|lost| panic!("{fault:?} after {after}, seed {seed}: {lost}"));
            if start.happened.is_none() {
                assert!(start.opened, "{fault:?} after {after}");
                return after;
            }
            assert!(!start.opened, "{fault:?} after {after} was not noticed");
        }
    }
    panic!("a start never ends");
}

/// Two bugs were found here. What looks at the version of a half-made database may only read, and undoing
/// what was begun has to write. And the tables were made in one transaction, the note that they are there
/// in another: after a cut between them they were made again, and no start succeeded any more.
#[test]
fn r5_a_power_cut_at_any_moment_of_the_first_start_does_not_prevent_the_second() {
    let moments =
        (first_starts::<Store>(Fault::PowerCut), first_starts::<Journal>(Fault::PowerCut));
    println!("moments of a first start: {moments:?}");
    assert!(moments.0 > 20 && moments.1 > 20, "{moments:?}");
}

/// A third one: a sync that failed while the file became one with a write-ahead log was told to nobody,
/// and in the mode from before a power cut took acknowledged commits back.
#[test]
fn r5_a_sync_that_fails_in_the_first_start_is_noticed() {
    let syncs =
        (first_starts::<Store>(Fault::SyncError), first_starts::<Journal>(Fault::SyncError));
    println!("syncs of a first start: {syncs:?}");
    assert!(syncs.0 > 3 && syncs.1 > 3, "{syncs:?}");
}

/// How many of a hundred trials lose something.
fn losses<S: Subject>(syncs: Syncs) -> usize {
    let plan = Plan { syncs, cuts_percent: 100, ..Plan::default() };
    (0..100).filter(|seed| trial::<S>(*seed, plan).is_err()).count()
}

/// The control: a trial that could not find a loss would prove nothing.
#[test]
fn r5_losses_are_found_where_syncs_are_left_out() {
    let (off, normal, full) = (
        losses::<Bare<0>>(Syncs::Honest),
        losses::<Bare<1>>(Syncs::Honest),
        losses::<Bare<2>>(Syncs::Honest),
    );
    println!("of 100 trials lost something: OFF {off}, NORMAL {normal}, FULL {full}");
    assert!(off > 50 && normal > 50, "OFF {off}, NORMAL {normal}");
    assert_eq!(full, 0);
}

/// The same of the real stores, on a disk that says it has synced and has not.
#[test]
fn r5_losses_of_the_real_stores_are_found_on_a_disk_that_lies() {
    let (store, journal) = (losses::<Store>(Syncs::Ignored), losses::<Journal>(Syncs::Ignored));
    println!("of 100 trials on a lying disk lost something: store {store}, journal {journal}");
    assert!(store > 50 && journal > 50, "store {store}, journal {journal}");
}
