//! `wavegate-cp check`: the database, its chain, the release and the blobs, changing nothing.
//!
//! Not here: the database's part (see [`crate::store::check`]).

use std::collections::BTreeSet;
use std::path::Path;

use wavegate_proto::artifact::release::{Release, verify_release};
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::BlobId;

use super::source::Source;
use crate::app::BLOBS_FOLDER;
use crate::blobs::{MAX_CLOSURE_BYTES, hash_file, named_assets};
use crate::clock::wall;
use crate::exit::{Exit, Failure};
use crate::store::{DATABASE_FILE, StoreError, check};
use crate::trust::read_trust;

/// What was found, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateReport {
    /// A line for each part, and one for each finding.
    pub text: String,
    /// Whether nothing was found.
    pub clean: bool,
}

/// Checks a state folder.
///
/// # Errors
/// When it cannot be looked at: there is none, it is of a newer version, the trust file is malformed.
pub async fn check_state(state_dir: &Path, trust: Option<&Path>) -> Result<StateReport, Failure> {
    let trust = trust.map(|given| read_trust(state_dir, given)).transpose()?;
    let mut report = StateReport { text: String::new(), clean: true };
    let database = state_dir.join(DATABASE_FILE);
    if !database.exists() {
        let message = format!("check {}: there is no database", state_dir.display());
        return Err(Failure::new(Exit::Failed, message));
    }
    let found = check::check(&database).map_err(|error| match &error {
        StoreError::Newer { .. } => Failure::new(Exit::StateUnusable, error),
        StoreError::Sqlite(_)
        | StoreError::Migration(_)
        | StoreError::Malformed { .. }
        | StoreError::JournalMode { .. }
        | StoreError::Gap { .. } => Failure::new(Exit::Failed, error),
    })?;
    report.part("database", &format!("{} log rows", found.rows), &found.findings);
    let release = state_dir.join("release");
    match trust {
        Some(_) if !release.exists() => report.part("release", "none adopted", &[]),
        Some(trust) => {
            let context = VerifyContext {
                trust: &trust,
                now: wall(),
                floor: SerialFloor::default(),
                freshness: Freshness::Ignored,
            };
            match read_release(&release, &context).await {
                Ok(release) => {
                    report.part("release", &format!("serial {}", release.fleet.serial), &[]);
                    let blobs = state_dir.join(BLOBS_FOLDER);
                    let (count, findings) = check_blobs(&blobs, &release);
                    report.part("blobs", &format!("{count} files"), &findings);
                }
                Err(finding) => report.part("release", "not loadable", &[finding]),
            }
        }
        None => report.part("release", "not verified: give --trust", &[]),
    }
    Ok(report)
}

impl StateReport {
    fn part(&mut self, part: &str, what: &str, findings: &[String]) {
        let verdict = if findings.is_empty() { "ok" } else { "WRONG" };
        self.text.push_str(&format!("{part}: {verdict} ({what})\n"));
        for finding in findings {
            self.clean = false;
            self.text.push_str(&format!("  {finding}\n"));
        }
    }
}

async fn read_release(
    folder: &Path,
    context: &VerifyContext<'_>,
) -> Result<Verified<Release>, String> {
    let source = Source::Folder(folder.to_owned());
    let fleet = source.fleet().await.map_err(|error| error.to_string())?;
    let files = source.files(fleet).await.map_err(|error| error.to_string())?;
    verify_release(files, context).map_err(|violation| violation.to_string())
}

/// Every blob that the release names is there and has its hash.
fn check_blobs(folder: &Path, release: &Release) -> (usize, Vec<String>) {
    let mut findings = Vec::new();
    let closures = release.blobs();
    let mut assets = BTreeSet::new();
    for id in &closures {
        let path = folder.join(id.file_name());
        let small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_CLOSURE_BYTES);
        if let Some(document) = small.then(|| std::fs::read(&path).ok()).flatten() {
            assets.extend(named_assets(&document).unwrap_or_default());
        }
    }
    let all: BTreeSet<BlobId> = closures.union(&assets).copied().collect();
    for id in &all {
        match hash_file(&folder.join(id.file_name())) {
            Ok(actual) if actual == *id => {}
            Ok(actual) => findings.push(format!("{id}: its bytes are {actual}")),
            Err(error) => findings.push(format!("{id}: {error}")),
        }
    }
    (all.len(), findings)
}
