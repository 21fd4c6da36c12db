//! One blob while it arrives: hashed and bounded as it is written, named only when it is right.
//!
//! Not here: where the bytes come from.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use wavegate_proto::ids::{BlobId, Sha256Hash};

use super::BlobError;
use super::room::{Room, Taken};

pub(super) struct Incoming {
    /// What it takes of the folder's room, as long as it is not named.
    taken: Taken,
    /// `None`: the blob is known; its bytes are only looked at.
    file: Option<(tokio::fs::File, tempfile::TempPath)>,
    hasher: Sha256,
    length: u64,
    max: u64,
}

impl Incoming {
    /// A blob that is to be kept.
    pub(super) async fn create(folder: &Path, max: u64, room: &Room) -> Result<Self, BlobError> {
        let folder = folder.to_owned();
        let created = tokio::task::spawn_blocking(move || tempfile::NamedTempFile::new_in(folder));
        let (file, path) = created.await.map_err(std::io::Error::other)??.into_parts();
        let file = Some((tokio::fs::File::from_std(file), path));
        Ok(Self { file, ..Self::discard(max, room) })
    }

    /// A blob that is there already.
    pub(super) fn discard(max: u64, room: &Room) -> Self {
        let taken = Taken { room: room.clone(), bytes: 0 };
        Self { taken, file: None, hasher: Sha256::new(), length: 0, max }
    }

    pub(super) async fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        self.length = self.length.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if self.length > self.max {
            return Err(BlobError::TooLarge { max: self.max });
        }
        self.hasher.update(chunk);
        if let Some((file, _)) = &mut self.file {
            self.taken.more(chunk.len())?;
            file.write_all(chunk).await?;
        }
        Ok(())
    }

    /// Checks the hash; syncs the file, names it, and syncs the folder.
    pub(super) async fn finish(mut self, id: BlobId, name: &Path) -> Result<(), BlobError> {
        let actual = BlobId(Sha256Hash(self.hasher.finalize().into()));
        if actual != id {
            return Err(BlobError::HashMismatch { actual });
        }
        let Some((mut file, path)) = self.file.take() else {
            return Ok(());
        };
        file.flush().await?;
        file.sync_all().await?;
        let name = name.to_owned();
        let named = tokio::task::spawn_blocking(move || {
            path.persist(&name).map_err(|error| error.error)?;
            match name.parent() {
                Some(folder) => std::fs::File::open(folder)?.sync_all(),
                None => Ok(()),
            }
        });
        named.await.map_err(std::io::Error::other)??;
        self.taken.keep();
        Ok(())
    }
}
