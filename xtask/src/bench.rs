//! `cargo xtask bench [P1 P2 …]`: the benchmarks, each printed beside its reference.
//!
//! The lines stand in `target/bench.jsonl`, too.
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
    let programs = ["build", "--release", "--workspace", "--bins"];
    cargo::run("the programs", &mut cargo::command(programs))?;
    let mut bench =
        cargo::command(["run", "--release", "--package", "wavegate-tests", "--bin", "bench", "--"]);
    bench.args(&options.targets);
    if !options.targets.iter().any(|option| option.starts_with("--json")) {
        bench.args(["--json", "target/bench.jsonl"]);
    }
    let names = |name: &str| options.targets.iter().any(|target| target.eq_ignore_ascii_case(name));
    if options.targets.is_empty() || names("P9") {
        let agent = ["build", "--profile", "dist", "--package", "wavegate-agent", "--bins"];
        cargo::run("the agent as it is shipped", &mut cargo::command(agent))?;
        bench.args(["--agent", "target/dist/wavegate-agent"]);
    }
    cargo::run("benchmarks", &mut bench)
}
