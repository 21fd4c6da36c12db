//! The only door to checks, tests and benchmarks: `cargo xtask COMMAND`, one file a command.
//!
//! Needs nothing but the Rust toolchain and a C compiler, but for `coverage` and `mutants`, which say what they need. Not here: the tests and benchmarks themselves
//! (see each crate, and `tests`).

mod cargo;
mod report;

mod bench;
mod ci;
mod coverage;
mod deny;
mod fuzz;
mod kill;
mod lint;
mod model;
mod mutants;
mod planted;
mod power;
mod sim;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks, tests and benchmarks of this workspace.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every test, with whatever set-up they need.
    Test,
    /// Formatting, clippy and documentation, warnings as errors.
    Lint,
    /// Licences and banned crates.
    Deny,
    /// What CI runs: lint, deny, test.
    Ci,
    /// The benchmarks, each beside its reference.
    Bench(bench::Options),
    /// Every reachable state of three hosts, within bounds for each fault.
    Model(model::Options),
    /// The simulator over many seeds.
    Sim(sim::Options),
    /// The long count of `kill -9` of the control plane under a running rollout.
    Kill(kill::Options),
    /// Power cuts on the real stores, many of them.
    Power(power::Options),
    /// Damaged inputs for every decoder of bytes from outside, many of them.
    Fuzz(fuzz::Options),
    /// The pure crates, changed in one place at a time: their tests must notice.
    Mutants(mutants::Options),
    /// Which lines and regions of the pure crates no test visits.
    Coverage(coverage::Options),
    /// Known bugs, planted one after the other: each must be found by the test it names.
    Planted(planted::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test => test::run(),
        Command::Lint => lint::run(),
        Command::Deny => deny::run(),
        Command::Ci => ci::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Model(options) => model::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Kill(options) => kill::run(&options),
        Command::Power(options) => power::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Mutants(options) => mutants::run(&options),
        Command::Coverage(options) => coverage::run(&options),
        Command::Planted(options) => planted::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
