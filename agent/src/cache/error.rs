//! Why something could not be kept in, or taken from, the cache.
//!
//! Not here: what follows from it (the client tries again, the daemon classifies).

use std::io;
use std::path::Path;

use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::BlobId;

/// Why the cache refused.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The content is not what was asked for.
    #[error("content of {expected} has hash {found}")]
    HashMismatch {
        /// What was asked for.
        expected: BlobId,
        /// What came.
        found: BlobId,
    },
    /// It is larger than anything of its sort may be.
    #[error("{id} is larger than {max_bytes} bytes")]
    TooLarge {
        /// What.
        id: BlobId,
        /// The most it may have.
        max_bytes: u64,
    },
    /// Everything that may be evicted is, and it still does not fit below the cache's own limit.
    #[error("no room for {bytes} bytes in a cache of {max_bytes}: the rest is pinned")]
    CacheFull {
        /// How much was asked for.
        bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The disk is full.
    #[error("no space left on the device for {path}")]
    DiskFull {
        /// The file.
        path: String,
    },
    /// The document has the right hash and is no bundle.
    #[error("{id} is not a bundle: {why}")]
    NoBundle {
        /// The closure.
        id: BlobId,
        /// Why not.
        why: String,
    },
    /// Anything else the file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl CacheError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| {
            let path = path.display().to_string();
            let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
            if full.contains(&source.kind()) {
                return Self::DiskFull { path };
            }
            Self::Io { path, source }
        }
    }

    /// Whose failure it is. Wrong bytes are the network's: the right ones are signed for.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::HashMismatch { .. } => FailureClass::Network,
            Self::TooLarge { .. } | Self::NoBundle { .. } => FailureClass::Artifact,
            Self::CacheFull { .. } | Self::DiskFull { .. } | Self::Io { .. } => FailureClass::Host,
        }
    }

    /// A stable code for it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::HashMismatch { .. } => "hash-mismatch",
            Self::TooLarge { .. } => "too-large",
            Self::CacheFull { .. } => "cache-full",
            Self::DiskFull { .. } => "disk-full",
            Self::NoBundle { .. } => "bad-bundle",
            Self::Io { .. } => "io",
        }
    }
}
