//! Whom this control plane believes: the trust file it was given and every version it has followed since,
//! each a file of `trust/` in the state folder. They are never removed: a host that slept asks for them one
//! by one, and a wiped database does not lead back.
//!
//! Not here: which version follows which (see `wavegate_proto::trust`), who publishes one (see
//! [`crate::workers::release`]).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use wavegate_proto::artifact::release_dir::signature_of;
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::trust::chain::{Followed, Pinned, TrustChain, TrustVersion};
use wavegate_proto::trust::rotation::{RotationError, SignedTrust};

use crate::exit::{Exit, Failure};

/// The folder of the versions in the state folder.
const FOLDER: &str = "trust";

/// Whom this control plane believes, and the folder in which that is kept.
#[derive(Debug)]
pub struct TrustStore {
    folder: PathBuf,
    chain: ArcSwap<TrustChain>,
    rotated: Notify,
}

/// Why a version was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It is not the next one.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// It cannot be kept.
    #[error("keep the trust file: {0}")]
    Io(#[from] io::Error),
}

impl TrustStore {
    /// What [`read_chain`] found. The version given by hand is kept, if it is a new one; an older one is
    /// not gone back to.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub fn open(state_dir: &Path, (chain, found): (TrustChain, Pinned)) -> io::Result<Self> {
        let folder = state_dir.join(FOLDER);
        fs::create_dir_all(&folder)?;
        match found {
            Pinned::Known => {}
            Pinned::New => keep(&folder, chain.current())?,
            Pinned::Older { version } => tracing::warn!(
                given = version,
                holds = chain.version(),
                "the trust file given is older than the version that was followed; that one holds"
            ),
        }
        Ok(Self { folder, chain: ArcSwap::from_pointee(chain), rotated: Notify::new() })
    }

    /// The versions, the one that holds among them.
    #[must_use]
    pub fn chain(&self) -> Arc<TrustChain> {
        self.chain.load_full()
    }

    /// Takes the next version: kept on disk before anything is believed by it. Only one task may follow.
    ///
    /// # Errors
    /// When it is not the next one, or cannot be kept.
    pub fn follow(&self, offered: &SignedTrust) -> Result<Followed, FollowError> {
        let mut chain = TrustChain::clone(&self.chain());
        let followed = chain.follow(offered)?;
        if followed == Followed::New {
            keep(&self.folder, chain.current())?;
            self.chain.store(Arc::new(chain));
            self.rotated.notify_one();
        }
        Ok(followed)
    }

    /// Returns when another version holds than at the last return. For one waiter.
    pub async fn rotated(&self) {
        self.rotated.notified().await;
    }
}

/// The trust file given by hand, and the versions that were kept in `state_dir`. Nothing is written.
///
/// # Errors
/// When one of them cannot be read.
pub fn read_chain(state_dir: &Path, given: &Path) -> Result<(TrustChain, Pinned), Failure> {
    let pinned = read_version(given).map_err(|message| Failure::new(Exit::Usage, message))?;
    let failed = |message: String| {
        Failure::new(Exit::Failed, message)
            .hint("put the file back from a copy, or remove it: hosts that slept may need it")
    };
    let folder = state_dir.join(FOLDER);
    let mut kept = Vec::new();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    for entry in entries.map_err(|e| failed(format!("read {}: {e}", folder.display())))? {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let version = read_version(&path).map_err(failed)?;
            if version.trust().fleet == pinned.trust().fleet {
                kept.push(version);
            } else {
                let of = &version.trust().fleet;
                return Err(failed(format!("use {}: it is of fleet {of}", path.display())));
            }
        }
    }
    Ok(TrustChain::restore(kept, pinned))
}

/// The trust file that holds for `state_dir`, without its history.
pub(crate) fn read_trust(state_dir: &Path, given: &Path) -> Result<TrustFile, Failure> {
    Ok(read_chain(state_dir, given)?.0.trust().clone())
}

fn read_version(path: &Path) -> Result<TrustVersion, String> {
    let unusable =
        |path: &Path, error: &dyn std::fmt::Display| format!("read {}: {error}", path.display());
    let bytes = fs::read(path).map_err(|e| unusable(path, &e))?;
    let sig = PathBuf::from(signature_of(&path.display().to_string()));
    let signatures = match fs::read(&sig) {
        Ok(bytes) => SignatureFile::parse(&bytes).map_err(|e| unusable(&sig, &e))?.signatures,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unusable(&sig, &error)),
    };
    TrustVersion::by_hand(SignedTrust::new(&bytes, signatures)).map_err(|e| unusable(path, &e))
}

/// Durable, whole or not at all: the signatures first, so that a document always has them.
fn keep(folder: &Path, version: &TrustVersion) -> io::Result<()> {
    let path = folder.join(format!("{}.json", version.trust().version));
    let sig = PathBuf::from(signature_of(&path.display().to_string()));
    let signatures = SignatureFile::new(version.signed().signatures.clone());
    replace(&sig, &signatures.to_bytes())?;
    let bytes = version.signed().bytes().map_err(io::Error::other)?;
    replace(&path, &bytes)?;
    File::open(folder)?.sync_all()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use wavegate_proto::canonical::canonicalize;
    use wavegate_proto::signing::{ArtifactType, PrivateKey};
    use wavegate_proto::trust::TrustedKey;

    use super::*;

    fn version(number: u64) -> SignedTrust {
        let key = PrivateKey::from_seed([1; 32]);
        let keys = vec![TrustedKey::new(key.public_key())];
        let mut trust = TrustFile::new("demo".parse().unwrap(), 1, keys, Vec::new());
        trust.version = number;
        let bytes = serde_json::to_vec(&trust).unwrap();
        let signature = key.sign(ArtifactType::Trust, &canonicalize(&bytes).unwrap());
        SignedTrust::new(&bytes, vec![signature])
    }

    fn open(dir: &Path) -> TrustStore {
        TrustStore::open(dir, read_chain(dir, &dir.join("given.json")).unwrap()).unwrap()
    }

    fn give(dir: &Path, number: u64) {
        fs::write(dir.join("given.json"), version(number).bytes().unwrap()).unwrap();
    }

    #[test]
    fn s3_what_was_followed_survives_a_restart_and_an_older_file() {
        let dir = tempfile::tempdir().unwrap();
        give(dir.path(), 1);
        let store = open(dir.path());
        assert_eq!(store.follow(&version(2)).unwrap(), Followed::New);
        assert_eq!(store.follow(&version(3)).unwrap(), Followed::New);
        assert!(matches!(store.follow(&version(5)), Err(FollowError::Rotation(_))));
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.chain().version(), 3);
        // With its signatures: a host at version 1 can follow.
        let mut host = TrustChain::new(TrustVersion::by_hand(version(1)).unwrap());
        for item in store.chain().after(1).items {
            host.follow(&item).unwrap();
        }
        assert_eq!(host.version(), 3);
        give(dir.path(), 4);
        assert_eq!(open(dir.path()).chain().version(), 4);
        give(dir.path(), 2);
        assert_eq!(open(dir.path()).chain().version(), 4);
    }

    #[test]
    fn a_damaged_version_is_named() {
        let dir = tempfile::tempdir().unwrap();
        give(dir.path(), 1);
        open(dir.path());
        fs::write(dir.path().join("trust/1.json"), "{").unwrap();
        let failure = read_chain(dir.path(), &dir.path().join("given.json")).unwrap_err();
        assert!(failure.to_string().contains("trust/1.json"), "{failure}");
    }
}
