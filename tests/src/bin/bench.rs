//! `cargo xtask bench [P1 P2]`: the benchmarks.
//!
//! Not here: what they do (see [`wavegate_tests::bench`]).

use std::process::ExitCode;

use clap::Parser as _;
use wavegate_tests::bench::{self, options::Options};

fn main() -> ExitCode {
    match bench::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
