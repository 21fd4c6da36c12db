//! Content-addressed files in `state-dir/blobs`: `sha256-<hex>`, complete and verified or not there.
//!
//! Not here: which blobs a release needs (see [`crate::workers::release`]), who may fetch them (see
//! [`crate::server`]).

mod assets;
mod incoming;
mod room;

pub use assets::named_assets;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use wavegate_proto::ids::{BlobId, Sha256Hash};

use incoming::Incoming;
use room::Room;

/// The most bytes of a closure document.
pub const MAX_CLOSURE_BYTES: u64 = 4 * 1024 * 1024;

/// The folder of files that are still arriving.
const INCOMING: &str = "incoming";

/// The folder of blobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlobStore {
    folder: PathBuf,
    room: Room,
}

/// What became of a blob that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    New,
    /// It was there already.
    Known,
}

/// Why a blob cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The bytes have another hash.
    #[error("the bytes are {actual}")]
    HashMismatch {
        /// What they are.
        actual: BlobId,
    },
    /// More bytes than allowed.
    #[error("above {max} bytes")]
    TooLarge {
        /// The most.
        max: u64,
    },
    /// All blobs together have as many bytes as they may.
    #[error(
        "the blob folder may hold {quota} bytes, and this does not fit; see --blob-store-bytes"
    )]
    OverQuota {
        /// The most.
        quota: u64,
    },
    /// The disk is full.
    #[error("the disk is full")]
    NoSpace,
    /// The sender stopped in the middle.
    #[error("the transfer broke off: {0}")]
    BrokenOff(String),
    /// The file system refuses.
    #[error("use the blob folder: {0}")]
    Io(io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::NoSpace
        } else {
            Self::Io(error)
        }
    }
}

/// The id of the bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> io::Result<BlobId> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = io::Read::read(&mut file, &mut piece)?;
        if length == 0 {
            break;
        }
        hasher.update(&piece[..length]);
    }
    Ok(BlobId(Sha256Hash(hasher.finalize().into())))
}

impl BlobStore {
    /// Opens or makes the folder, and removes what had only half arrived.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let incoming = folder.join(INCOMING);
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&incoming)?;
        Ok(Self { folder: folder.to_owned(), room: Room::of(folder)? })
    }

    /// The same with a bound on the bytes of all blobs together; 0 is none.
    #[must_use]
    pub fn with_quota(self, bytes: u64) -> Self {
        Self { room: self.room.with_quota(bytes), ..self }
    }

    /// Whether the blob is there.
    #[must_use]
    pub fn has(&self, id: BlobId) -> bool {
        self.path(id).is_file()
    }

    /// Keeps `content` if it has the hash of `id`: on disk, synced, then named.
    ///
    /// # Errors
    /// [`BlobError`]; nothing is kept then.
    pub async fn put<S, E>(&self, id: BlobId, content: S, max: u64) -> Result<Put, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: std::fmt::Display,
    {
        let known = self.has(id);
        let mut incoming = if known {
            Incoming::discard(max, &self.room)
        } else {
            Incoming::create(&self.folder.join(INCOMING), max, &self.room).await?
        };
        let mut content = std::pin::pin!(content);
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(|error| BlobError::BrokenOff(error.to_string()))?;
            incoming.write(&chunk).await?;
        }
        incoming.finish(id, &self.path(id)).await?;
        Ok(if known { Put::Known } else { Put::New })
    }

    /// The whole blob, when it is there.
    ///
    /// # Errors
    /// Larger than `max` bytes, or the file system refuses.
    pub async fn read(&self, id: BlobId, max: u64) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(id);
        let length = match tokio::fs::metadata(&path).await {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if length > max {
            return Err(BlobError::TooLarge { max });
        }
        Ok(Some(tokio::fs::read(&path).await?))
    }

    /// Where the blob is, when it is there. S8: the name is made of a parsed hash, never of what a request says.
    #[must_use]
    pub fn path(&self, id: BlobId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, io::Error>> {
        let parts: Vec<_> =
            parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        futures_util::stream::iter(parts)
    }

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count()
    }

    #[tokio::test]
    async fn a_blob_is_kept_under_its_hash_and_known_the_second_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let id = BlobId::of(b"hello world");
        assert_eq!(store.put(id, chunks(&["hello", " world"]), 100).await.unwrap(), Put::New);
        assert_eq!(store.put(id, chunks(&["hello world"]), 100).await.unwrap(), Put::Known);
        assert_eq!(store.read(id, 100).await.unwrap().unwrap(), b"hello world");
        assert!(matches!(store.read(id, 10).await, Err(BlobError::TooLarge { max: 10 })));
    }

    #[tokio::test]
    async fn what_is_wrong_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let id = BlobId::of(b"other");
        let wrong = store.put(id, chunks(&["hello"]), 100).await;
        assert!(matches!(wrong, Err(BlobError::HashMismatch { .. })));
        let large = store.put(id, chunks(&["hello", "hello"]), 9).await;
        assert!(matches!(large, Err(BlobError::TooLarge { max: 9 })));
        let broken = futures_util::stream::iter([
            Ok(Bytes::from_static(b"other")),
            Err(io::Error::other("gone")),
        ]);
        assert!(matches!(store.put(id, broken, 100).await, Err(BlobError::BrokenOff(_))));
        assert!(!store.has(id));
        assert_eq!((files(dir.path()), files(&dir.path().join(INCOMING))), (0, 0));
    }

    /// G14: blobs have a total quota, also over a restart; what was refused takes nothing of it.
    #[tokio::test]
    async fn g14_all_blobs_together_have_a_quota() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap().with_quota(8);
        let put = async |store: &BlobStore, text: &'static str| {
            store.put(BlobId::of(text.as_bytes()), chunks(&[text]), 100).await
        };
        put(&store, "hello").await.unwrap();
        assert!(matches!(put(&store, "four").await, Err(BlobError::OverQuota { quota: 8 })));
        assert_eq!(put(&store, "hello").await.unwrap(), Put::Known);
        put(&store, "abc").await.unwrap();
        let store = BlobStore::open(dir.path()).unwrap().with_quota(8);
        assert!(matches!(put(&store, "x").await, Err(BlobError::OverQuota { .. })));
    }

    #[tokio::test]
    async fn what_had_half_arrived_is_removed_at_a_start() {
        let dir = tempfile::tempdir().unwrap();
        BlobStore::open(dir.path()).unwrap();
        std::fs::write(dir.path().join(INCOMING).join("x"), "half").unwrap();
        BlobStore::open(dir.path()).unwrap();
        assert_eq!(files(&dir.path().join(INCOMING)), 0);
    }
}
