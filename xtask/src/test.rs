//! `cargo xtask test`: every test of the workspace.
//!
//! The end-to-end tests start the real programs from the target folder, so these are built first, in one
//! go with the tests. Plain `cargo test`: a fresh machine needs nothing else.

use anyhow::Result;

use crate::cargo;
use crate::report;

/// Builds the programs and runs every test.
pub(crate) fn run() -> Result<()> {
    let mut build = cargo::command(["build", "--workspace", "--bins", "--tests"]);
    cargo::run("build the programs and the tests", &mut build)?;
    let mut tests = cargo::command(["test", "--workspace", "--no-fail-fast"]);
    report::run_tests("tests", &mut tests)
}
