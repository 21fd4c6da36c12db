//! `cargo xtask mutants [CRATE]`: changes the pure crates in one place at a time; the crate's own tests must
//! notice.
//!
//! Needs cargo-mutants, which works in a copy of the tree. What no test notices and is argued for is listed
//! in `docs/mutants.md`; anything else is named, and ends this with an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::cargo;

/// At least so many of a hundred mutants must be caught.
const LEAST_PERCENT: usize = 90;

/// Which mutants.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this crate.
    #[arg(value_enum)]
    only: Option<PureCrate>,
    /// Every n-th mutant, beginning with the k-th: `K/N`, K from 0.
    #[arg(long)]
    shard: Option<String>,
}

/// The crates that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PureCrate {
    StateMachine,
    Reconciler,
    Proto,
}

impl PureCrate {
    const ALL: [Self; 3] = [Self::StateMachine, Self::Reconciler, Self::Proto];

    fn folder(self) -> &'static str {
        match self {
            Self::StateMachine => "state-machine",
            Self::Reconciler => "reconciler",
            Self::Proto => "proto",
        }
    }

    /// One run of cargo-mutants each: its arguments, and what the tests are built with. The calendar is
    /// slow to test and has a run of its own.
    fn runs(self) -> Vec<Run> {
        let run = |part, arguments, opt_level| Run { part, arguments, opt_level };
        match self {
            Self::StateMachine => vec![run("state-machine", &[], "0")],
            Self::Reconciler => vec![
                run(
                    "reconciler",
                    &["--exclude", "**/window.rs", "--", "--", "--skip", "calendar"],
                    "1",
                ),
                run("reconciler-window", &["--file", "**/reconciler/src/window.rs"], "1"),
            ],
            Self::Proto => vec![run("proto", &[], "0")],
        }
    }
}

struct Run {
    part: &'static str,
    arguments: &'static [&'static str],
    opt_level: &'static str,
}

/// What became of the mutants of a crate; those that did not build are none.
#[derive(Debug, Default)]
struct Tally {
    caught: usize,
    timed_out: usize,
    missed: Vec<String>,
}

impl Tally {
    fn take(&mut self, folder: &Path) -> Result<()> {
        let lines = |name: &str| -> Result<Vec<String>> {
            let path = folder.join("mutants.out").join(name);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        self.caught += lines("caught.txt")?.len();
        self.timed_out += lines("timeout.txt")?.len();
        self.missed.extend(lines("missed.txt")?);
        Ok(())
    }

    fn percent(&self) -> usize {
        let noticed = self.caught + self.timed_out;
        (noticed * 100).checked_div(noticed + self.missed.len()).unwrap_or(100)
    }
}

/// Runs every mutant; fails when too many survive, or one that nobody has argued for.
pub(crate) fn run(options: &Options) -> Result<()> {
    require_tool()?;
    let page = fs::read_to_string(cargo::workspace().join("docs/mutants.md"))?;
    let mut failures = Vec::new();
    let wanted = |one: &PureCrate| options.only.is_none_or(|only| only == *one);
    for krate in PureCrate::ALL.into_iter().filter(wanted) {
        let mut tally = Tally::default();
        for run in krate.runs() {
            tally.take(&mutate(krate, &run, options)?)?;
        }
        let Tally { caught, timed_out, missed } = &tally;
        let (folder, percent) = (krate.folder(), tally.percent());
        eprintln!(
            "==> {folder}: {caught} caught, {timed_out} timed out, {} missed: {percent} %",
            missed.len()
        );
        if percent < LEAST_PERCENT {
            failures.push(format!("{folder}: {percent} % are caught, not {LEAST_PERCENT}"));
        }
        let unknown = missed.iter().filter(|mutant| !page.contains(&without_position(mutant)));
        failures.extend(unknown.map(|mutant| format!("nobody has argued for {mutant}")));
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n    "));
    Ok(())
}

fn require_tool() -> Result<()> {
    let found = cargo::command(["mutants", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    ensure!(found, "cargo-mutants is not installed: `cargo install --locked cargo-mutants`");
    Ok(())
}

/// Runs cargo-mutants and says where its lists are. That mutants survive is no error of the run.
fn mutate(krate: PureCrate, run: &Run, options: &Options) -> Result<PathBuf> {
    let output = cargo::workspace().join("target/mutants").join(run.part);
    fs::create_dir_all(&output)?;
    let package = format!("wavegate-{}", krate.folder());
    let mut command = cargo::command(["mutants", "--package", &package, "--timeout", "120"]);
    command.arg("--output").arg(&output);
    if let Some(shard) = &options.shard {
        command.args(["--sharding", "round-robin", "--shard", shard]);
    }
    command.args(run.arguments);
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", run.opt_level).env("CARGO_PROFILE_DEV_DEBUG", "0");
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    eprintln!("==> mutants of {}", run.part);
    let status = command.status().context("start cargo-mutants")?;
    // 2: some were missed; 3: some timed out.
    let ran = status.success() || matches!(status.code(), Some(2 | 3));
    ensure!(ran, "cargo-mutants: {status}");
    Ok(output)
}

/// `a.rs:7:9: replace x` as the page has it, where lines move: `a.rs: replace x`.
fn without_position(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_line), Some(_column), Some(what)) => format!("{file}:{what}"),
        _ => mutant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, without_position};

    #[test]
    fn a_mutant_is_looked_up_without_its_line() {
        let mutant = "proto/src/a.rs:7:9: replace B::c -> bool with true";
        assert_eq!(without_position(mutant), "proto/src/a.rs: replace B::c -> bool with true");
        assert_eq!(without_position("odd"), "odd");
    }

    #[test]
    fn one_that_times_out_was_noticed() {
        let missed = vec!["x".to_owned()];
        let tally = Tally { caught: 8, timed_out: 1, missed };
        assert_eq!(tally.percent(), 90);
        assert_eq!(Tally::default().percent(), 100);
    }
}
