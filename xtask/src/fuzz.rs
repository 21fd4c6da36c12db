//! `cargo xtask fuzz --runs N`: every decoder of bytes from outside with more damaged inputs than every test
//! run can afford.

use anyhow::Result;

use crate::cargo;
use crate::report;

/// How much.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many inputs for each decoder.
    #[arg(long, default_value_t = 100_000)]
    runs: u64,
}

/// Runs the fuzz test with so many inputs.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut test = cargo::command(["test", "--workspace", "--test", "fuzz", "--", "--nocapture"]);
    test.env("WAVEGATE_FUZZ_RUNS", options.runs.to_string());
    report::run_tests("fuzz", &mut test)
}
