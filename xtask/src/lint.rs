//! `cargo xtask lint`: formatting, clippy and documentation, warnings as errors.

use anyhow::Result;

use crate::cargo;

/// Runs every lint; the first that finds something ends it.
pub(crate) fn run() -> Result<()> {
    cargo::run("format", &mut cargo::command(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    cargo::run("clippy", &mut cargo::command(clippy))?;
    let mut doc = cargo::command(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    // The pages are for those who work on it and hold private items too, so links to these lead somewhere.
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    cargo::run("documentation", doc.env("RUSTDOCFLAGS", flags))
}
