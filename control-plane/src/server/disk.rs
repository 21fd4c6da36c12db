//! Whether the disk has room for what hosts and uploads bring (G14). What operators do, and what the
//! reducer itself notes, may use the reserve: a full disk must not take away the means to mend it.
//!
//! Not here: a disk that is full all the same, which stops the process (see [`crate::service`]).

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wavegate_proto::wire::problem::ProblemCode;

use super::error::ApiError;

/// How long an answer of the file system is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The part of a disk that is reserved at most.
const LARGEST_PART: u64 = 20;

/// Looks at the disk of the state folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    reserve_bytes: u64,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Disk {
    /// The disk of `folder`, on which `reserve_bytes` are reserved, or a twentieth where that is less.
    #[must_use]
    pub fn of(folder: &Path, reserve_bytes: u64) -> Self {
        Self { folder: folder.to_owned(), reserve_bytes, last: Mutex::new(None) }
    }

    /// Refuses what would use the reserve.
    pub(super) fn require_room(&self) -> Result<(), ApiError> {
        if self.has_room() {
            return Ok(());
        }
        let detail = "the disk is nearly full; what is left is kept for operators";
        Err(ApiError::new(ProblemCode::Overloaded, detail))
    }

    fn has_room(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, has_room)) = last.filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return has_room;
        }
        let has_room = match rustix::fs::statvfs(&self.folder) {
            Ok(disk) => {
                let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
                bytes(disk.f_bavail) >= reserve(bytes(disk.f_blocks), self.reserve_bytes)
            }
            Err(error) => {
                // Whoever writes next finds out what is wrong.
                tracing::warn!(%error, "the free space of the disk is not known");
                true
            }
        };
        let was = last.replace((Instant::now(), has_room));
        if !has_room && was.is_none_or(|(_, had)| had) {
            tracing::error!("the disk is nearly full: events of hosts and uploads are not taken");
        }
        has_room
    }
}

fn reserve(disk_bytes: u64, reserve_bytes: u64) -> u64 {
    reserve_bytes.min(disk_bytes / LARGEST_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G14: 1 GiB, or 5 % of a disk that is smaller than 20 GiB.
    #[test]
    fn g14_a_small_disk_reserves_a_twentieth() {
        let gib = 1 << 30;
        assert_eq!(reserve(100 * gib, gib), gib);
        assert_eq!(reserve(2 * gib, gib), 2 * gib / 20);
    }

    #[test]
    fn g14_what_would_use_the_reserve_is_refused() {
        let folder = std::env::temp_dir();
        assert!(Disk::of(&folder, 0).require_room().is_ok());
        let none = Disk { last: Mutex::new(Some((Instant::now(), false))), ..Disk::of(&folder, 0) };
        assert!(none.require_room().is_err());
    }
}
