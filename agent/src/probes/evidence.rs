//! `kind = "evidence"`: passes when a local collector's signed report is fresh and its controls pass.
//!
//! Not here: what counts as evidence (`wavegate_proto::evidence`), the collector.

use std::io::Read as _;
use std::path::Path;

use wavegate_proto::event::{ProbeOutcome, cut_text};
use wavegate_proto::evidence::{Evidence, MAX_EVIDENCE_BYTES};
use wavegate_proto::signing::PublicKey;

use super::CheckResult;
use crate::clock;
use crate::resources::error::{Doing as _, ResourceError};
use crate::resources::kind::on_thread;
use crate::resources::root::Root;

/// What is expected of a report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) path: &'a str,
    pub(super) public_key: &'a PublicKey,
    pub(super) max_age_secs: u64,
    pub(super) controls: &'a [String],
}

/// Reads the report and judges it.
pub(super) async fn ask(root: &Path, wanted: Wanted<'_>) -> CheckResult {
    let (root, path) = (root.to_owned(), wanted.path.to_owned());
    let bytes = match on_thread(move || read(&root, &path)).await {
        Ok(bytes) => bytes,
        Err(error) => return CheckResult::fail(error.to_string()),
    };
    let Wanted { public_key, max_age_secs, controls, .. } = wanted;
    match Evidence::verify(&bytes, public_key, max_age_secs, clock::wall()) {
        Ok(evidence) => judge(evidence, controls),
        Err(error) => CheckResult::fail(error.to_string()),
    }
}

/// One byte more than a report may have is enough to see that it is too long. No link is followed that somebody
/// else made (G28).
fn read(root: &Path, path: &str) -> Result<Vec<u8>, ResourceError> {
    let act = ResourceError::io("read", path);
    let root = Root::open(root).doing(act)?;
    let file = root.place(path)?.open_file()?;
    let mut bytes = Vec::new();
    file.take(MAX_EVIDENCE_BYTES as u64 + 1).read_to_end(&mut bytes).doing(act)?;
    Ok(bytes)
}

fn judge(evidence: Evidence, controls: &[String]) -> CheckResult {
    let complaint = evidence.complaint(controls).map(cut_text);
    let mut sub_results = evidence.controls;
    for control in &mut sub_results {
        for text in [&mut control.control, &mut control.status, &mut control.framework] {
            *text = cut_text(std::mem::take(text));
        }
        control.override_reason = control.override_reason.take().map(cut_text);
    }
    let outcome = if complaint.is_some() { ProbeOutcome::Fail } else { ProbeOutcome::Pass };
    CheckResult { outcome, reason: complaint, sub_results }
}
