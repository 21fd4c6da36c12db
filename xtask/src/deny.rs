//! `cargo xtask deny`: licences and banned crates.
//!
//! Reads the lists of `deny.toml` and judges every package of the resolved graph itself, so that the
//! check exists without any tool; runs `cargo deny` beside it where that is installed.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{MetadataCommand, Package};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::cargo;

/// The parts of `deny.toml` that this check reads.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// Checks the whole graph, for every platform.
pub(crate) fn run() -> Result<()> {
    own_check()?;
    let installed = cargo::command(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !installed {
        eprintln!(
            "==> cargo-deny: skipped, not installed (our own check of the same lists has run)"
        );
        return Ok(());
    }
    cargo::run("cargo-deny", &mut cargo::command(["deny", "check", "bans", "licenses", "sources"]))
}

fn own_check() -> Result<()> {
    eprintln!("==> licences and banned crates");
    let path = cargo::workspace().join("deny.toml");
    let text = std::fs::read_to_string(&path).context("read deny.toml")?;
    let rules: Rules = toml::from_str(&text).context("read deny.toml")?;
    let allowed = allowed(&rules)?;
    let metadata = MetadataCommand::new()
        .manifest_path(cargo::workspace().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .context("read the dependency graph (is Cargo.lock up to date?)")?;
    let findings: Vec<String> =
        metadata.packages.iter().filter_map(|package| finding(package, &rules, &allowed)).collect();
    for finding in &findings {
        eprintln!("    {finding}");
    }
    if !findings.is_empty() {
        bail!("{} packages are not allowed by deny.toml", findings.len());
    }
    eprintln!("    {} packages, all allowed", metadata.packages.len());
    Ok(())
}

fn allowed(rules: &Rules) -> Result<Vec<Licensee>> {
    let parse = |text: &String| {
        Licensee::parse(text).with_context(|| format!("read the licence {text:?} of deny.toml"))
    };
    rules.licenses.allow.iter().map(parse).collect()
}

/// What is wrong with a package, if anything.
fn finding(package: &Package, rules: &Rules, allowed: &[Licensee]) -> Option<String> {
    let (name, version) = (&package.name, &package.version);
    if let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == name.as_str()) {
        return Some(format!("{name} {version} is banned: {}", ban.reason));
    }
    let problem = refused_licence(package.license.as_deref(), allowed)?;
    Some(format!("{name} {version}: {problem}"))
}

/// Why the licence expression is not satisfied by what is allowed.
fn refused_licence(expression: Option<&str>, allowed: &[Licensee]) -> Option<String> {
    let Some(text) = expression else { return Some("no licence is named".to_owned()) };
    let expression = match Expression::parse_mode(text, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{text:?} is no licence expression: {}", error.reason)),
    };
    let failures = expression
        .evaluate_with_failures(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)))
        .err()?;
    let names: BTreeSet<String> = failures.iter().map(|failure| failure.req.to_string()).collect();
    let names: Vec<String> = names.into_iter().collect();
    Some(format!("{text:?} needs {}, which is not allowed", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use spdx::Licensee;

    use super::refused_licence;

    fn refused(expression: Option<&str>) -> bool {
        let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception"];
        let allowed: Vec<Licensee> =
            allowed.iter().filter_map(|l| Licensee::parse(l).ok()).collect();
        refused_licence(expression, &allowed).is_some()
    }

    #[test]
    fn one_allowed_alternative_is_enough() {
        assert!(!refused(Some("MIT OR GPL-3.0-only")));
        assert!(!refused(Some("GPL-2.0/MIT")));
        assert!(!refused(Some("Apache-2.0 WITH LLVM-exception")));
    }

    #[test]
    fn every_part_of_an_and_must_be_allowed() {
        assert!(refused(Some("MIT AND GPL-3.0-only")));
        assert!(refused(Some("Apache-2.0")));
        assert!(refused(Some("something of our own")));
        assert!(refused(None));
    }
}
