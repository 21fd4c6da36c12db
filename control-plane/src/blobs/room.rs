//! How many bytes all blobs may have together (G14). What is still arriving counts.
//!
//! Not here: the room on the disk (see [`crate::server::disk`]).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::BlobError;

/// The room of a folder. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    quota: u64,
    used: Arc<AtomicU64>,
}

/// What one blob takes; given back unless it is kept.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) room: Room,
    pub(super) bytes: u64,
}

impl Room {
    /// The room of a folder with what is in it.
    pub(super) fn of(folder: &Path) -> std::io::Result<Self> {
        let mut used = 0_u64;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?.metadata()?;
            used = used.saturating_add(if entry.is_file() { entry.len() } else { 0 });
        }
        Ok(Self { quota: 0, used: Arc::new(AtomicU64::new(used)) })
    }

    /// The same room with at most `quota` bytes; 0 is no bound.
    pub(super) fn with_quota(self, quota: u64) -> Self {
        Self { quota, ..self }
    }
}

impl Taken {
    pub(super) fn more(&mut self, bytes: usize) -> Result<(), BlobError> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let used = self.room.used.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.room.quota > 0 && used > self.room.quota {
            return Err(BlobError::OverQuota { quota: self.room.quota });
        }
        Ok(())
    }

    /// The blob stays.
    pub(super) fn keep(&mut self) {
        self.bytes = 0;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
