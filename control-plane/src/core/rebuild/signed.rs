//! The signed files that rollouts were opened from: found by the hash that the log has of them, so they
//! are the ones that were verified then.
//!
//! Not here: where the bytes are kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::release_dir;
use wavegate_proto::ids::{RolloutId, Sha256Hash};
use wavegate_proto::signing::SignatureFile;
use wavegate_reconciler::fleet::rollout::Manifest;

use super::{Rebuild, Unfoldable};
use crate::core::payload::RolloutOffered;

/// Who has the files of the releases that the log names.
pub trait Artifacts {
    /// The bytes with this hash; `None`: they are not there.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn bytes(&self, hash: Sha256Hash) -> Result<Option<Vec<u8>>, String>;
}

impl<A: Artifacts> Rebuild<A> {
    /// Whether the release that was adopted last has this rollout.
    pub(super) fn is_released(&self, id: &RolloutId) -> bool {
        self.files.contains_key(&release_dir::header(id))
    }

    /// The header of a rollout of the release that was adopted last.
    pub(super) fn manifest(
        &self,
        id: &RolloutId,
        content_id: Sha256Hash,
    ) -> Result<Manifest, Unfoldable> {
        let path = release_dir::header(id);
        let header_bytes = self.file(&path)?;
        let sig = release_dir::signature_of(&path);
        let signatures = SignatureFile::parse(&self.file(&sig)?);
        let unreadable =
            |path: &str, reason: String| Unfoldable::File { path: path.to_owned(), reason };
        Ok(Manifest {
            header: serde_json::from_slice(&header_bytes)
                .map_err(|error| unreadable(&path, error.to_string()))?,
            signatures: signatures.map_err(|e| unreadable(&sig, e.to_string()))?.signatures,
            header_bytes,
            content_id,
        })
    }

    /// The entries of a rollout of the release that was adopted last.
    pub(super) fn hosts(&self, id: &RolloutId) -> Result<Vec<HostEntry>, Unfoldable> {
        let path = release_dir::hosts(id);
        let bytes = self.file(&path)?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let entries: Result<_, serde_json::Error> = lines.map(serde_json::from_slice).collect();
        entries.map_err(|error| Unfoldable::File { path, reason: error.to_string() })
    }

    fn file(&self, path: &str) -> Result<Vec<u8>, Unfoldable> {
        let path = path.to_owned();
        let Some(hash) = self.files.get(&path).copied() else {
            let reason = "the release that was adopted last does not have it".to_owned();
            return Err(Unfoldable::File { path, reason });
        };
        match self.artifacts.bytes(hash) {
            Ok(Some(bytes)) if Sha256Hash::of(&bytes) == hash => Ok(bytes),
            Ok(Some(_)) => {
                Err(Unfoldable::File { path, reason: format!("its bytes are not {hash}") })
            }
            Ok(None) => Err(Unfoldable::Missing { path, hash }),
            Err(reason) => Err(Unfoldable::File { path, reason }),
        }
    }
}

/// The header that a host offered: it is in the row.
pub(super) fn offered_manifest(offered: &RolloutOffered) -> Result<Manifest, Unfoldable> {
    let unreadable =
        |reason: String| Unfoldable::File { path: "the offered header".to_owned(), reason };
    let header_bytes = STANDARD.decode(&offered.header).map_err(|e| unreadable(e.to_string()))?;
    Ok(Manifest {
        header: serde_json::from_slice(&header_bytes).map_err(|e| unreadable(e.to_string()))?,
        header_bytes,
        signatures: offered.signatures.clone(),
        content_id: offered.content_id,
    })
}
