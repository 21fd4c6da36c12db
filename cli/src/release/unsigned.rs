//! A release judged by every rule but who signed it, how old it is and what came before: what is known
//! of one that is being built, compared or built upon.
//!
//! Not here: the rules (`wavegate_proto::artifact`); judging signatures (see [`super::verify`]).

use std::path::Path;

use wavegate_proto::artifact::fleet::FleetDocument;
use wavegate_proto::artifact::release::{Release, ReleaseFiles, verify_release};
use wavegate_proto::artifact::release_dir as names;
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext, Violation};
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::ids::FleetName;
use wavegate_proto::json::parse_strict;
use wavegate_proto::signing::{ArtifactType, PrivateKey, SignatureFile};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::{TrustFile, TrustedKey};

use super::dir::{self, DirError};

/// Signs the documents with a key made for this, in place of their signatures, and verifies them.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn judge(fleet: FleetName, mut files: ReleaseFiles) -> Result<Release, Violation> {
    let key = PrivateKey::from_seed([0; 32]);
    let trust = TrustFile::new(fleet, 1, vec![TrustedKey::new(key.public_key())], Vec::new());
    let sign = |kind, bytes: &[u8]| {
        let canonical = canonicalize(bytes).unwrap_or_default();
        SignatureFile::new(vec![key.sign(kind, &canonical)])
    };
    files.fleet_sig = sign(ArtifactType::Fleet, &files.fleet);
    for rollout in &mut files.rollouts {
        rollout.sig = sign(ArtifactType::Rollout, &rollout.header);
    }
    let context = VerifyContext {
        trust: &trust,
        now: Timestamp::default(),
        floor: SerialFloor::default(),
        freshness: Freshness::Ignored,
    };
    verify_release(files, &context).map(wavegate_proto::artifact::verified::Verified::into_inner)
}

/// Reads the release in folder `path`. Its closures and assets are not looked at.
///
/// # Errors
/// When it is no release.
pub fn read(path: &Path) -> Result<Release, DirError> {
    let files = dir::read_dir(path)?;
    let fleet = fleet_document(path, &files.fleet)?.fleet;
    judge(fleet, files).map_err(|violation| DirError::Malformed {
        path: path.to_owned(),
        reason: violation.to_string(),
    })
}

/// The fleet document of the release in folder `path`, by itself.
///
/// # Errors
/// When it is none.
/// What the fleet document of the release in `path` says.
///
/// # Errors
/// When it is not there, or is none.
pub fn read_fleet(path: &Path) -> Result<FleetDocument, DirError> {
    fleet_document(path, &dir::read(path, names::FLEET)?)
}

pub(super) fn fleet_document(path: &Path, bytes: &[u8]) -> Result<FleetDocument, DirError> {
    let malformed = |reason: String| DirError::Malformed { path: path.join(names::FLEET), reason };
    let value = parse_strict(bytes).map_err(|error| malformed(error.to_string()))?;
    serde_json::from_value(value).map_err(|error| malformed(error.to_string()))
}
