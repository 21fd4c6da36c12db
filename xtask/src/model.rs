//! `cargo xtask model [--long | --run NAME]`: the exhaustive check of the real cores, in release mode.

use anyhow::Result;

use crate::cargo;
use crate::report;

/// Which runs to explore.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Those that take minutes to hours, too.
    #[arg(long, conflicts_with = "run")]
    long: bool,
    /// Only this one, by its name in `tests/tests/model/bounds.rs`.
    #[arg(long)]
    run: Option<String>,
}

/// Explores each run to its end.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut test = cargo::command(["test", "--release", "--package", "wavegate-tests"]);
    test.args(["--test", "model", "--", "--nocapture"]);
    if options.long {
        test.env("WAVEGATE_MODEL", "long");
    }
    if let Some(run) = &options.run {
        test.env("WAVEGATE_MODEL", run);
    }
    report::run_tests("model", &mut test)
}
