//! `cargo xtask sim --seeds N --first S`: the simulator over many seeds, in release mode.

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
}

/// Runs every seed; the last one printed before a failure is the one that failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut test = cargo::command(["test", "--release", "--package", "wavegate-tests"]);
    test.args(["--test", "simulation", "many_seeds", "--", "--nocapture"]);
    test.env("WAVEGATE_SIM_SEEDS", options.seeds.to_string());
    test.env("WAVEGATE_SIM_FIRST_SEED", options.first.to_string());
    report::run_tests("simulation", &mut test)
}
