//! `cargo xtask ci`: what CI runs, in this order: lint, deny, then the same `test` as by hand.

use anyhow::Result;

use crate::{deny, lint, test};

/// Runs everything; the first step that fails ends it.
pub(crate) fn run() -> Result<()> {
    lint::run()?;
    deny::run()?;
    test::run()?;
    eprintln!("==> ci: passed");
    Ok(())
}
