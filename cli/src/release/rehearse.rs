//! A release folder as if it were signed: every rule but those of signatures and time holds.
//!
//! A simulation is of use before anybody signs. The documents are signed here as they are, with a key that
//! lives in memory and that nobody trusts, so that the verified release is made by the one function that makes
//! verified releases.

use std::path::Path;
use std::sync::Arc;

use wavegate_proto::artifact::release::{Release, ReleaseFiles, verify_release};
use wavegate_proto::artifact::release_dir as names;
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext, Violation};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::ids::FleetName;
use wavegate_proto::signing::{ArtifactType, PrivateKey, SignatureFile};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::{TrustFile, TrustedKey};

use super::dir::{self, DirError};

/// Why a release folder cannot be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// It cannot be read.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] Violation),
}

/// Reads the release in `path` as it would be verified at `now`, once it is signed.
///
/// # Errors
/// When it would be refused whatever its signatures.
pub fn read(path: &Path, now: Timestamp) -> Result<Arc<Verified<Release>>, RehearseError> {
    let mut files = dir::read_dir(path)?;
    let key = PrivateKey::from_seed([0; 32]);
    sign(path, &mut files, &key)?;
    let trusted = vec![TrustedKey::new(key.public_key())];
    let trust = TrustFile::new(fleet_of(path, &files)?, 1, trusted, Vec::new());
    let context = VerifyContext {
        trust: &trust,
        now,
        floor: SerialFloor::default(),
        freshness: Freshness::Ignored,
    };
    Ok(Arc::new(verify_release(files, &context)?))
}

fn sign(path: &Path, files: &mut ReleaseFiles, key: &PrivateKey) -> Result<(), DirError> {
    let one = |kind, bytes: &[u8]| {
        let canonical = canonicalize(bytes).map_err(|error| DirError::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok::<_, DirError>(SignatureFile::new(vec![key.sign(kind, &canonical)]))
    };
    files.fleet_sig = one(ArtifactType::Fleet, &files.fleet)?;
    for rollout in &mut files.rollouts {
        rollout.sig = one(ArtifactType::Rollout, &rollout.header)?;
    }
    Ok(())
}

/// The fleet the document says it is of.
fn fleet_of(path: &Path, files: &ReleaseFiles) -> Result<FleetName, DirError> {
    let malformed = |reason: String| DirError::Malformed { path: path.join(names::FLEET), reason };
    let document: serde_json::Value =
        serde_json::from_slice(&files.fleet).map_err(|error| malformed(error.to_string()))?;
    let name = document["fleet"].as_str().unwrap_or_default();
    name.parse().map_err(|_| malformed("it names no fleet".to_owned()))
}
