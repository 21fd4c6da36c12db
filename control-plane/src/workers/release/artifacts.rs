//! The signed files of every release that was adopted, kept beside the other blobs under their hashes: what
//! rollouts were opened from is there as long as the log names it.
//!
//! `release/` holds only the release that was adopted last. The fleet documents of earlier ones are not
//! kept: no derived row is made of them.
//!
//! Not here: the blobs that closures are made of (see `adopt`).

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wavegate_proto::artifact::fleet::MAX_FLEET_BYTES;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::release_dir;
use wavegate_proto::ids::{BlobId, Sha256Hash};

use crate::blobs::{BlobError, BlobStore};
use crate::core::rebuild::Artifacts;

/// Keeps the headers, signatures and hosts tables of a release.
pub(super) async fn keep(blobs: &BlobStore, release: &Release) -> Result<(), BlobError> {
    let max = u64::try_from(MAX_FLEET_BYTES).unwrap_or(u64::MAX);
    for (path, bytes) in release.named_files() {
        let id = BlobId::of(&bytes);
        if !path.starts_with(release_dir::ROLLOUTS) || blobs.has(id) {
            continue;
        }
        let content =
            futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(bytes.into_owned()))]);
        blobs.put(id, content, max).await?;
    }
    Ok(())
}

/// The folder of the blobs, read without the process that owns it.
#[derive(Debug)]
pub(crate) struct KeptArtifacts {
    folder: PathBuf,
}

impl KeptArtifacts {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

impl Artifacts for KeptArtifacts {
    fn bytes(&self, hash: Sha256Hash) -> Result<Option<Vec<u8>>, String> {
        match std::fs::read(self.folder.join(BlobId(hash).file_name())) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
