//! `cargo xtask power --cuts N --seed S`: power cuts on the real stores, more of them than every test run
//! can afford.

use anyhow::Result;

use crate::cargo;
use crate::report;

/// How many, and where to begin.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many power cuts; half of them on either store.
    #[arg(long, default_value_t = 1_000_000)]
    cuts: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the trials; one that loses something names its seed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut test = cargo::command(["test", "--release", "--package", "wavegate-tests"]);
    test.args(["--test", "power", "r5", "--", "--nocapture"]);
    test.env("WAVEGATE_POWER_CUTS", (options.cuts / 2).to_string());
    test.env("WAVEGATE_POWER_SEED", options.seed.to_string());
    report::run_tests("power cuts", &mut test)
}
