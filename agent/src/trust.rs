//! Whom this host believes: the highest version of the trust file it has ever gone by. It starts with the
//! file on disk and follows what the control plane shows, each version by the signatures of the one before.
//!
//! Not here: which version follows which (see `wavegate_proto::trust`), fetching them (see
//! [`crate::daemon`]).

use std::path::{Path, PathBuf};

use wavegate_proto::artifact::release_dir::signature_of;
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::chain::{Pinned, TrustChain, TrustVersion};
use wavegate_proto::trust::rotation::SignedTrust;

use crate::journal::{Journal, JournalError};

/// Why the trust file on disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("read {path}: {reason}")]
pub struct TrustFileError {
    path: PathBuf,
    reason: String,
}

/// Reads the trust file on disk, and the signatures beside it where there are any.
///
/// # Errors
/// When it cannot be read or is malformed.
pub fn read_pinned(path: &Path) -> Result<TrustVersion, TrustFileError> {
    let unusable = |path: &Path, reason: String| TrustFileError { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|e| unusable(path, e.to_string()))?;
    let sig = PathBuf::from(signature_of(&path.display().to_string()));
    let signatures = match std::fs::read(&sig) {
        Ok(bytes) => SignatureFile::parse(&bytes).map_err(|e| unusable(&sig, e.to_string()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            SignatureFile::new(Vec::new())
        }
        Err(error) => return Err(unusable(&sig, error.to_string())),
    };
    let signed = SignedTrust::new(&bytes, signatures.signatures);
    TrustVersion::by_hand(signed).map_err(|e| unusable(path, e.to_string()))
}

/// The versions this host has gone by, with the one on disk. It is kept when it is a new one; an older one
/// is not gone back to.
///
/// # Errors
/// When the journal cannot be read or written.
pub fn restore(
    journal: &mut Journal,
    pinned: TrustVersion,
    now: Timestamp,
) -> Result<TrustChain, JournalError> {
    let (chain, found) = TrustChain::restore(journal.trust_versions()?, pinned);
    match found {
        Pinned::Known => {}
        Pinned::New => journal.keep_trust(chain.current(), now)?,
        Pinned::Older { version } => tracing::warn!(
            on_disk = version,
            holds = chain.version(),
            "the trust file on disk is older than the version this host has followed; that one holds"
        ),
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use wavegate_proto::signing::PrivateKey;
    use wavegate_proto::trust::{TrustFile, TrustedKey};

    use super::*;

    fn version(number: u64) -> TrustVersion {
        let keys = vec![TrustedKey::new(PrivateKey::from_seed([1; 32]).public_key())];
        let mut trust = TrustFile::new("demo".parse().unwrap(), 1, keys, Vec::new());
        trust.version = number;
        let bytes = serde_json::to_vec(&trust).unwrap();
        TrustVersion::by_hand(SignedTrust::new(&bytes, Vec::new())).unwrap()
    }

    fn restored(dir: &Path, pinned: u64) -> u64 {
        let mut journal = Journal::open(dir).unwrap();
        restore(&mut journal, version(pinned), Timestamp::default()).unwrap().version()
    }

    #[test]
    fn s3_an_older_trust_file_on_disk_does_not_lead_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(restored(dir.path(), 1), 1);
        assert_eq!(restored(dir.path(), 3), 3);
        assert_eq!(restored(dir.path(), 1), 3);
        assert_eq!(restored(dir.path(), 4), 4);
    }
}
