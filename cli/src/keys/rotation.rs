//! Making the next version of a trust file, and having it signed by one person after the other.
//!
//! A version is signed by keys of the version before and by its own; all signatures stand in the `.sig` file
//! beside it. Not here: which version follows which (`wavegate_proto::trust`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wavegate_proto::artifact::release_dir::signature_of;
use wavegate_proto::ids::KeyId;
use wavegate_proto::signing::{ArtifactType, PrivateKey, PublicKey, SignatureFile, SigningError};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::rotation::{RotationError, SignedTrust};
use wavegate_proto::trust::{EnrollTrust, TrustError, TrustFile, TrustedKey};

use super::file::FileAccessError;

/// Why a version could not be made, read or signed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileAccessError),
    /// A trust file is wrong.
    #[error("{path}: {error}", path = path.display())]
    Trust {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: RotationError,
    },
    /// A `.sig` file is wrong.
    #[error("{path}: {error}", path = path.display())]
    Signatures {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: SigningError,
    },
    /// A key that is to be taken out is not there.
    #[error("the trust file has no key {0}")]
    NoKey(KeyId),
    /// What would come out could never be satisfied.
    #[error("the next version would be wrong: {0}")]
    Next(TrustError),
    /// The cut-off would move back.
    #[error("reject_signed_before is {before} and only moves forward")]
    CutOff {
        /// Where it is.
        before: Timestamp,
    },
    /// It cannot be written as JSON.
    #[error("the trust file cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What is different in the next version.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Keys that come in.
    pub add: Vec<TrustedKey>,
    /// Keys that go.
    pub remove: Vec<KeyId>,
    /// How many must sign from now on.
    pub threshold: Option<u32>,
    /// What is signed before this is refused from now on.
    pub reject_signed_before: Option<Timestamp>,
    /// The authorities from now on, PEM.
    pub ca_pem: Option<Vec<String>>,
    /// Keys whose tokens let hosts in from now on.
    pub add_enroll: Vec<TrustedKey>,
    /// Keys whose tokens let nobody in any more.
    pub remove_enroll: Vec<KeyId>,
}

/// Who of one set of keys has signed, and who has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The version whose keys these are.
    pub version: u64,
    /// How many it takes.
    pub threshold: u32,
    /// Who has.
    pub signed: Vec<KeyId>,
    /// Who has not.
    pub missing: Vec<KeyId>,
}

impl Standing {
    /// Whether enough have signed.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        u32::try_from(self.signed.len()).is_ok_and(|signed| signed >= self.threshold)
    }
}

/// The next version after `current`.
///
/// # Errors
/// When it could never be satisfied, or would lead back.
pub fn next(
    current: &TrustFile,
    change: Change,
    signed_at: Timestamp,
) -> Result<TrustFile, RotateError> {
    let mut next = current.clone();
    next.version += 1;
    next.signed_at = Some(signed_at.truncated_to_secs());
    exchange(&mut next.release.keys, &change.remove, change.add)?;
    let mut enroll = current.enroll_keys().to_vec();
    exchange(&mut enroll, &change.remove_enroll, change.add_enroll)?;
    next.enroll = (!enroll.is_empty()).then_some(EnrollTrust { keys: enroll });
    next.release.threshold = change.threshold.unwrap_or(next.release.threshold);
    if let Some(cut_off) = change.reject_signed_before {
        if let Some(before) = current.reject_signed_before.filter(|before| cut_off < *before) {
            return Err(RotateError::CutOff { before });
        }
        next.reject_signed_before = Some(cut_off);
    }
    next.ca_pem = change.ca_pem.unwrap_or(next.ca_pem);
    next.check().map_err(RotateError::Next)?;
    Ok(next)
}

fn exchange(
    keys: &mut Vec<TrustedKey>,
    remove: &[KeyId],
    add: Vec<TrustedKey>,
) -> Result<(), RotateError> {
    for key in remove {
        let before = keys.len();
        keys.retain(|known| known.key_id != *key);
        if keys.len() == before {
            return Err(RotateError::NoKey(key.clone()));
        }
    }
    keys.extend(add);
    Ok(())
}

/// A key that is valid at any time, or within a window.
#[must_use]
pub fn trusted_key(
    public_key: PublicKey,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
) -> TrustedKey {
    TrustedKey { not_before, not_after, ..TrustedKey::new(public_key) }
}

/// A trust file with the signatures beside it.
///
/// # Errors
/// When one of the files cannot be read.
pub fn read(path: &Path) -> Result<SignedTrust, RotateError> {
    let at = |error| FileAccessError { path: path.to_owned(), error };
    let bytes = std::fs::read(path).map_err(at)?;
    let signed = SignedTrust::new(&bytes, signatures(path)?.signatures);
    let wrong = |error| RotateError::Trust { path: path.to_owned(), error };
    signed.read().map_err(wrong)?;
    Ok(signed)
}

fn signatures(of: &Path) -> Result<SignatureFile, RotateError> {
    let path = signatures_beside(of);
    match std::fs::read(&path) {
        Ok(bytes) => {
            SignatureFile::parse(&bytes).map_err(|error| RotateError::Signatures { path, error })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(SignatureFile::new(Vec::new()))
        }
        Err(error) => Err(FileAccessError { path, error }.into()),
    }
}

fn signatures_beside(path: &Path) -> PathBuf {
    PathBuf::from(signature_of(&path.display().to_string()))
}

/// Writes a version into a new file, without signatures.
///
/// # Errors
/// When there is a file already, or the disk says no.
pub fn write(trust: &TrustFile, path: &Path) -> Result<(), RotateError> {
    let mut json = serde_json::to_string_pretty(trust)?;
    json.push('\n');
    Ok(super::file::write_public(path, &json)?)
}

/// Adds the signature of `key` to those beside the trust file at `path`, in place of an earlier one of the
/// same key.
///
/// # Errors
/// When a file cannot be read or written.
pub fn sign(path: &Path, key: &PrivateKey) -> Result<(), RotateError> {
    let signed = read(path)?;
    let canonical =
        signed.canonical().map_err(|error| RotateError::Trust { path: path.to_owned(), error })?;
    let mut signatures = SignatureFile::new(signed.signatures);
    signatures.put(key.sign(ArtifactType::Trust, &canonical));
    Ok(super::file::replace(&signatures_beside(path), &signatures.to_bytes())?)
}

/// Who of the keys of `trust` has signed `version`.
///
/// # Errors
/// When `version` is no trust file.
pub fn standing(version: &SignedTrust, trust: &TrustFile) -> Result<Standing, RotationError> {
    let signed = version.signers(trust)?;
    let known: BTreeSet<&KeyId> = trust.release.keys.iter().map(|key| &key.key_id).collect();
    let missing = known.into_iter().filter(|key| !signed.contains(key)).cloned().collect();
    Ok(Standing { version: trust.version, threshold: trust.release.threshold, signed, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> TrustedKey {
        TrustedKey::new(PrivateKey::from_seed([seed; 32]).public_key())
    }

    #[test]
    fn enrollment_keys_come_and_go_apart_from_those_that_sign_releases() {
        let at = Timestamp::default();
        let first = TrustFile::new("demo".parse().unwrap(), 1, vec![key(1)], Vec::new());
        let change = Change { add_enroll: vec![key(2), key(3)], ..Change::default() };
        let second = next(&first, change, at).unwrap();
        assert_eq!(second.enroll_keys(), [key(2), key(3)]);
        assert_eq!(second.release, first.release);
        let change = Change { remove_enroll: vec![key(2).key_id], ..Change::default() };
        assert_eq!(next(&second, change, at).unwrap().enroll_keys(), [key(3)]);
        let ids = vec![key(2).key_id, key(3).key_id];
        let change = Change { remove_enroll: ids, ..Change::default() };
        assert_eq!(next(&second, change, at).unwrap().enroll, None);
        // A key of one kind is no key of the other.
        let change = Change { remove_enroll: vec![key(1).key_id], ..Change::default() };
        assert!(matches!(next(&second, change, at), Err(RotateError::NoKey(_))));
    }
}
