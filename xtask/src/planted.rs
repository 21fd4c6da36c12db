//! `cargo xtask planted [--only NAME]`: known bugs, put into a copy of the tree one after the other; the
//! test that each file of `tests/planted/` names must fail.
//!
//! The copy and what is built of it are in `target/planted/`. The tests that are named must pass without
//! the bug, which is shown first. That every file still applies is checked by the tidy tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::cargo;

/// Which bugs.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the bug of this name; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Does not show first that the tests pass without the bugs.
    #[arg(long)]
    skip_baseline: bool,
}

/// One file of `tests/planted/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    bug: String,
    target: String,
    test: String,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    change: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    file: PathBuf,
    find: String,
    replace: String,
}

/// What became of a test.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
}

/// Runs every bug; fails when one survives.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut bugs = read_all(&cargo::workspace().join("tests/planted"))?;
    if let Some(unknown) = options.only.iter().find(|name| !bugs.contains_key(*name)) {
        bail!("no bug is named {unknown}: look into tests/planted/");
    }
    bugs.retain(|name, _| options.only.is_empty() || options.only.contains(name));
    let tree = Tree::copy()?;
    if !options.skip_baseline {
        tree.expect_all_to_pass(bugs.values())?;
    }
    let mut survivors = Vec::new();
    eprintln!("{:<34} {:>7}  caught by", "bug", "seconds");
    for (name, bug) in &bugs {
        let begun = Instant::now();
        let outcome = tree.with(bug, || tree.test(bug)).with_context(|| name.clone())?;
        let seconds = begun.elapsed().as_secs();
        let caught = outcome == Outcome::Failed;
        let by = if caught { &bug.test } else { "NOTHING" };
        eprintln!("{name:<34} {seconds:>7}  {by}");
        if !caught {
            survivors.push(format!("{name}: {}", bug.bug));
        }
    }
    eprintln!("{} of {} bugs caught", bugs.len() - survivors.len(), bugs.len());
    ensure!(survivors.is_empty(), "bugs that no test finds:\n    {}", survivors.join("\n    "));
    Ok(())
}

fn read_all(folder: &Path) -> Result<BTreeMap<String, Bug>> {
    let mut bugs = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let bug = toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        bugs.insert(name, bug);
    }
    Ok(bugs)
}

/// A copy of the tree that may be broken.
struct Tree {
    source: PathBuf,
    built: PathBuf,
}

impl Tree {
    /// Copies what git knows, as it stands now. A file that has not changed keeps its time, so that
    /// nothing is built twice.
    fn copy() -> Result<Self> {
        let folder = cargo::workspace().join("target/planted");
        let tree = Self { source: folder.join("source"), built: folder.join("built") };
        let known = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
        let listed = Command::new("git").current_dir(cargo::workspace()).args(known).output()?;
        ensure!(listed.status.success(), "git ls-files: {}", listed.status);
        let text = String::from_utf8(listed.stdout).context("read the list of files")?;
        let names: BTreeSet<&str> = text.split_terminator('\0').collect();
        for name in names {
            let (from, to) = (cargo::workspace().join(name), tree.source.join(name));
            let Ok(content) = fs::read(&from) else {
                // Deleted and not yet committed.
                let _was_not_copied = fs::remove_file(&to);
                continue;
            };
            if fs::read(&to).ok().as_ref() != Some(&content) {
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::write(&to, content).with_context(|| format!("write {}", to.display()))?;
            }
        }
        Ok(tree)
    }

    fn expect_all_to_pass<'a>(&self, bugs: impl Iterator<Item = &'a Bug>) -> Result<()> {
        let mut seen = BTreeSet::new();
        for bug in bugs.filter(|bug| seen.insert((&bug.target, &bug.test))) {
            eprintln!("==> without a bug: {}", bug.test);
            let outcome = self.test(bug)?;
            ensure!(outcome == Outcome::Passed, "{} fails without any bug", bug.test);
        }
        Ok(())
    }

    /// Plants a bug, does something, and takes the bug out again whatever happened.
    fn with<T>(&self, bug: &Bug, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut before: BTreeMap<PathBuf, String> = BTreeMap::new();
        for Change { file, .. } in &bug.change {
            let path = self.source.join(file);
            let text = fs::read_to_string(&path).with_context(|| file.display().to_string())?;
            before.insert(path, text);
        }
        let mut planted = before.clone();
        for change in &bug.change {
            if let Some(text) = planted.get_mut(&self.source.join(&change.file)) {
                *text = applied(text, change)?;
            }
        }
        let write = |files: &BTreeMap<PathBuf, String>| {
            files.iter().try_for_each(|(path, text)| fs::write(path, text))
        };
        write(&planted)?;
        let result = act();
        write(&before)?;
        result
    }

    /// Builds the test program and runs the one test. A build that fails is an error: a bug that the
    /// compiler finds proves nothing.
    fn test(&self, bug: &Bug) -> Result<Outcome> {
        let build = self.cargo(bug).arg("--no-run").status()?;
        ensure!(build.success(), "it does not build");
        let output = self.cargo(bug).args(["--", "--exact", &self.full_name(bug)?]).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        match (output.status.success(), said.contains("1 passed"), said.contains("1 failed")) {
            (true, true, false) => Ok(Outcome::Passed),
            (false, false, true) => Ok(Outcome::Failed),
            _ => bail!("{} did not run as one test:\n{said}", bug.test),
        }
    }

    /// The test with the modules it is in.
    fn full_name(&self, bug: &Bug) -> Result<String> {
        let output = self.cargo(bug).args(["--", "--list", "--format", "terse"]).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
        let mut found = names.filter(|name| name.rsplit("::").next() == Some(&bug.test));
        match (found.next(), found.next()) {
            (Some(name), None) => Ok(name.to_owned()),
            _ => bail!("not one test of {} is named {}", bug.target, bug.test),
        }
    }

    fn cargo(&self, bug: &Bug) -> Command {
        let mut command = cargo::command(["test", "--quiet", "--workspace", "--test", &bug.target]);
        command.current_dir(&self.source).env("CARGO_TARGET_DIR", &self.built);
        command.env("RUST_BACKTRACE", "0").envs(&bug.environment).stderr(Stdio::inherit());
        command
    }
}

fn applied(text: &str, change: &Change) -> Result<String> {
    let times = text.matches(&change.find).count();
    let file = change.file.display();
    ensure!(times == 1, "{file}: what is to be replaced is there {times} times:\n{}", change.find);
    Ok(text.replacen(&change.find, &change.replace, 1))
}

#[cfg(test)]
mod tests {
    use super::{Change, applied};

    #[test]
    fn a_change_applies_once_or_not_at_all() {
        let change =
            Change { file: "a.rs".into(), find: "b < c".to_owned(), replace: "true".to_owned() };
        assert_eq!(applied("if b < c {}", &change).ok().as_deref(), Some("if true {}"));
        assert!(applied("if b > c {}", &change).is_err());
        assert!(applied("b < c && b < c", &change).is_err());
    }
}
