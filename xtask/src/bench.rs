//! `cargo xtask bench [P1 P2 …]`: the benchmarks, each printed beside its reference.
//!
//! Not here: the benchmarks (see `tests/src/bin/bench.rs`).

use anyhow::Result;

use crate::cargo;

/// Which benchmarks to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Targets, for example `P1 P2`; all of them when none is named.
    targets: Vec<String>,
}

/// Builds in release mode and runs the benchmarks.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut bench =
        cargo::command(["run", "--release", "--package", "wavegate-tests", "--bin", "bench", "--"]);
    cargo::run("benchmarks", bench.args(&options.targets))
}
