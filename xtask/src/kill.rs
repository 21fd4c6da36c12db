//! `cargo xtask kill --count N`: `kill -9` of the control plane at random moments under a running
//! rollout, more often than every test run can afford.

use anyhow::Result;

use crate::cargo;
use crate::report;

/// How often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many kills.
    #[arg(long, default_value_t = 200)]
    count: u64,
}

/// Builds the programs and runs the tests whose name begins with `kill_9`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut build = cargo::command(["build", "--workspace", "--bins", "--tests"]);
    cargo::run("build the programs and the tests", &mut build)?;
    let mut test =
        cargo::command(["test", "--workspace", "--tests", "kill_9", "--", "--nocapture"]);
    test.env("WAVEGATE_KILL_COUNT", options.count.to_string());
    report::run_tests("kill -9", &mut test)
}
