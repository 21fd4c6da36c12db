//! Verifying a release folder: every rule, and every closure and asset it names.
//!
//! Not here: the rules themselves (`wavegate_proto::artifact`).

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::artifact::release::{Release, ReleaseFiles, verify_release};
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext, Violation};
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::ids::{BlobId, FleetName, KeyId, RolloutId, Serial};
use wavegate_proto::json::parse_strict;
use wavegate_proto::signing::{ArtifactType, SignatureFile};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::TrustFile;

use super::dir::{self, DirError};

/// A release folder that passed every check.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// The fleet.
    pub fleet: FleetName,
    /// The serial.
    pub serial: Serial,
    /// The rollouts.
    pub rollouts: Vec<RolloutId>,
    /// Closure documents and assets that were checked.
    pub blobs: usize,
    /// Who signed.
    pub signers: Signers,
}

/// Who signed every document of a release, and who has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signers {
    /// How many it takes.
    pub threshold: u32,
    /// Trusted keys that signed every document.
    pub signed: Vec<KeyId>,
    /// Trusted keys that did not.
    pub missing: Vec<KeyId>,
}

/// Why a release folder did not pass.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// It breaks a rule.
    #[error("{violation}")]
    Rule {
        /// Which.
        violation: Violation,
        /// Who signed, as far as it goes.
        signers: Signers,
    },
    /// A closure document or asset is not there.
    #[error("missing blob {0}")]
    MissingBlob(BlobId),
    /// A closure document or asset is not what its name says.
    #[error("blob {0} has other content than its name says")]
    TamperedBlob(BlobId),
    /// A closure document that no agent would read.
    #[error("closure {blob}: {reason}")]
    Closure {
        /// Which.
        blob: BlobId,
        /// What is wrong with it.
        reason: String,
    },
}

/// Verifies the release in `path` as it would be judged at `now`.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_dir(
    path: &Path,
    trust: &TrustFile,
    now: Timestamp,
) -> Result<VerifyReport, VerifyError> {
    let files = dir::read_dir(path)?;
    let signers = signers(&files, trust);
    let context =
        VerifyContext { trust, now, floor: SerialFloor::default(), freshness: Freshness::Enforced };
    let verified = match verify_release(files, &context) {
        Ok(verified) => verified.into_inner(),
        Err(violation) => return Err(VerifyError::Rule { violation, signers }),
    };
    check_file_names(path, &verified)?;
    let blobs = check_blobs(path, &verified)?;
    Ok(VerifyReport {
        fleet: verified.fleet.fleet.clone(),
        serial: verified.fleet.serial,
        rollouts: verified.rollouts.values().map(|r| r.header.rollout_id()).collect(),
        blobs,
        signers,
    })
}

/// A header under another rollout's name would be served as that.
fn check_file_names(path: &Path, release: &Release) -> Result<(), VerifyError> {
    let named: BTreeSet<RolloutId> = dir::rollout_ids(path)?.into_iter().collect();
    let held: BTreeSet<RolloutId> =
        release.rollouts.values().map(|rollout| rollout.header.rollout_id()).collect();
    match named.difference(&held).next() {
        Some(id) => Err(VerifyError::Dir(DirError::Malformed {
            path: path.join(wavegate_proto::artifact::release_dir::header(id)),
            reason: "holds the header of another rollout".to_owned(),
        })),
        None => Ok(()),
    }
}

/// The blobs a release needs, closure documents first.
///
/// # Errors
/// When one is missing or not what its name says.
pub(super) fn check_blobs(path: &Path, release: &Release) -> Result<usize, VerifyError> {
    let mut seen = BTreeSet::new();
    for closure in release.blobs() {
        let bytes = checked_blob(path, closure)?;
        let refuse = |reason: String| VerifyError::Closure { blob: closure, reason };
        let bundle = Bundle::parse(&bytes).map_err(|error| refuse(error.to_string()))?;
        seen.insert(closure);
        for asset in bundle.assets() {
            if seen.insert(asset) {
                checked_blob(path, asset)?;
            }
        }
    }
    Ok(seen.len())
}

/// The bytes of a closure document or an asset of the release in `path`.
///
/// # Errors
/// When it is missing or not what its name says.
pub fn checked_blob(path: &Path, blob: BlobId) -> Result<Vec<u8>, VerifyError> {
    let bytes = dir::read_blob(path, blob)?.ok_or(VerifyError::MissingBlob(blob))?;
    if BlobId::of(&bytes) != blob {
        return Err(VerifyError::TamperedBlob(blob));
    }
    Ok(bytes)
}

/// Who signed every document; independent of whether the other rules hold.
fn signers(files: &ReleaseFiles, trust: &TrustFile) -> Signers {
    let fleet = (ArtifactType::Fleet, &files.fleet, &files.fleet_sig);
    let headers = files.rollouts.iter().map(|r| (ArtifactType::Rollout, &r.header, &r.sig));
    let mut signed: BTreeSet<KeyId> =
        trust.release.keys.iter().map(|key| key.key_id.clone()).collect();
    let all = signed.clone();
    for (kind, bytes, sig) in [fleet].into_iter().chain(headers) {
        let here = document_signers(kind, bytes, sig, trust);
        signed.retain(|key| here.contains(key));
    }
    Signers {
        threshold: trust.release.threshold,
        missing: all.difference(&signed).cloned().collect(),
        signed: signed.into_iter().collect(),
    }
}

fn document_signers(
    kind: ArtifactType,
    bytes: &[u8],
    sig: &SignatureFile,
    trust: &TrustFile,
) -> Vec<KeyId> {
    let Ok(canonical) = canonicalize(bytes) else { return Vec::new() };
    let signed_at = parse_strict(bytes)
        .ok()
        .and_then(|value| value.get("signed_at")?.as_str()?.parse::<Timestamp>().ok());
    let Some(signed_at) = signed_at else { return Vec::new() };
    trust.signers(kind, &canonical, signed_at, &sig.signatures)
}
