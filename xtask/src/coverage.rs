//! `cargo xtask coverage [--keep]`: which lines and regions of the pure crates no test visits.
//!
//! Runs the tests of the pure crates and the scenarios of the control plane's core under cargo-llvm-cov, and
//! prints a table of the files and every region that was not visited. A region is what the compiler counts:
//! an arm, a branch, the way out of a `?`. What is argued for is in `docs/coverage.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{MetadataCommand, TargetKind};
use serde::Deserialize;

use crate::cargo;

/// The crates that decide, by folder.
const PURE: [&str; 3] = ["proto", "state-machine", "reconciler"];

/// What else runs: the scenarios of the control plane's core.
const SCENARIOS: (&str, &str) = ("wavegate-tests", "core");

/// What becomes of what was built.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Keeps `target/coverage` for the next run; several gigabytes.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Deserialize)]
struct Report {
    data: Vec<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    filename: String,
    segments: Vec<Segment>,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    lines: Count,
    regions: Count,
}

#[derive(Debug, Default, Deserialize)]
struct Count {
    count: u64,
    covered: u64,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.covered += other.covered;
    }
}

/// Where a region begins: line, column, how often it was visited, whether that was counted at all, whether
/// it begins here, whether it is the gap between two statements.
#[derive(Debug, Deserialize)]
struct Segment(usize, usize, u64, bool, bool, bool);

/// Measures, prints, and takes away what was built for it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let found = cargo::command(["llvm-cov", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    ensure!(
        found,
        "cargo-llvm-cov is not installed: `rustup component add llvm-tools`, \
         `cargo install --locked cargo-llvm-cov`"
    );
    let folder = cargo::workspace().join("target/coverage");
    let report = folder.join("report.json");
    let result = measure(&folder, &report).and_then(|()| print(&report));
    if !options.keep {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    result
}

fn measure(folder: &Path, report: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let llvm_cov = |arguments: &[&str]| -> Command {
        let mut command = cargo::command(["llvm-cov"]);
        command.args(arguments).env("CARGO_TARGET_DIR", folder);
        command
    };
    let mut tests = llvm_cov(&["--no-report", "--lib"]);
    for krate in PURE {
        tests.args(["--package", &format!("wavegate-{krate}")]);
    }
    tests.args(["--package", SCENARIOS.0, "--test", SCENARIOS.1]);
    for test in pure_tests()? {
        tests.args(["--test", &test]);
    }
    cargo::run("tests that count what they visit", &mut tests)?;
    let mut export = llvm_cov(&["report", "--json", "--output-path"]);
    cargo::run("report", export.arg(report))
}

/// The test programs of the pure crates.
fn pure_tests() -> Result<BTreeSet<String>> {
    let manifest = cargo::workspace().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    let pure = PURE.map(|krate| format!("wavegate-{krate}"));
    let packages = metadata.packages.into_iter();
    let targets = packages.filter(|p| pure.contains(&p.name.to_string())).flat_map(|p| p.targets);
    Ok(targets.filter(|t| t.kind.contains(&TargetKind::Test)).map(|t| t.name).collect())
}

fn print(report: &Path) -> Result<()> {
    let text = fs::read_to_string(report).context("read the report")?;
    let report: Report = serde_json::from_str(&text).context("read the report")?;
    let mut files: Vec<(String, File)> = Vec::new();
    for file in report.data.into_iter().flat_map(|data| data.files) {
        let known = Path::new(&file.filename).strip_prefix(cargo::workspace());
        let Ok(name) = known.map(|path| path.display().to_string()) else { continue };
        if PURE.iter().any(|krate| name.starts_with(&format!("{krate}/src/"))) {
            files.push((name, file));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut out = String::from("| file | lines | regions |\n|---|---|---|\n");
    for krate in PURE {
        let (mut lines, mut regions) = (Count::default(), Count::default());
        for (_, file) in files.iter().filter(|(name, _)| name.starts_with(&format!("{krate}/"))) {
            lines.add(&file.summary.lines);
            regions.add(&file.summary.regions);
        }
        out.push_str(&row(&format!("**{krate}**"), &lines, &regions));
    }
    for (name, file) in &files {
        out.push_str(&row(name, &file.summary.lines, &file.summary.regions));
    }
    for (name, file) in &files {
        let source = fs::read_to_string(cargo::workspace().join(name))?;
        for (line, column) in unvisited(&file.segments, &source) {
            let shown = source.lines().nth(line - 1).unwrap_or_default().trim();
            out.push_str(&format!("{name}:{line}:{column}: {shown}\n"));
        }
    }
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes()).context("print")
}

fn row(name: &str, lines: &Count, regions: &Count) -> String {
    let share = |count: &Count| format!("{} of {}", count.covered, count.count);
    format!("| {name} | {} | {} |\n", share(lines), share(regions))
}

/// Where the regions begin that were not visited, but for those of the tests at a file's end; of several in
/// one line the first.
fn unvisited(segments: &[Segment], source: &str) -> Vec<(usize, usize)> {
    let tests = source.lines().position(|line| line == "#[cfg(test)]").unwrap_or(usize::MAX);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for Segment(line, column, visits, counted, begins, gap) in segments {
        let missed = *counted && *begins && !*gap && *visits == 0 && *line <= tests;
        if missed && found.last().is_none_or(|(last, _)| last != line) {
            found.push((*line, *column));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Segment, unvisited};

    #[test]
    fn what_was_not_visited_is_named_once_a_line_and_not_in_tests() {
        let segments = [
            Segment(1, 1, 1, true, true, false),
            Segment(2, 3, 0, true, true, false),
            Segment(2, 9, 0, true, true, false),
            Segment(3, 1, 0, true, false, false),
            Segment(3, 4, 0, true, true, true),
            Segment(5, 1, 0, true, true, false),
        ];
        let source = "fn a() {\n  b();\n}\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(unvisited(&segments, source), [(2, 3)]);
    }
}
