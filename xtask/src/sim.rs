//! `cargo xtask sim --seeds N --hosts H --first S`: the simulator over many seeds, in release mode.

use anyhow::Result;

use crate::cargo;
use crate::report;

/// Which seeds to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many hosts each story has.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(6..=1000))]
    hosts: u64,
}

/// Plays the story of every seed. One that fails is named, with the end of what happened, a file with all
/// of it, and the command that plays it again.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut test = cargo::command(["test", "--release", "--package", "wavegate-tests"]);
    test.args(["--test", "simulation", "stories", "--", "--nocapture"]);
    test.env("WAVEGATE_SIM_SEEDS", options.seeds.to_string());
    test.env("WAVEGATE_SIM_FIRST_SEED", options.first.to_string());
    test.env("WAVEGATE_SIM_HOSTS", options.hosts.to_string());
    report::run_tests("simulation", &mut test)
}
