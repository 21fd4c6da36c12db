//! One agent per state folder: an advisory lock that the kernel drops when the process dies.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// The name of the lock file in the state folder.
pub const LOCK_FILE: &str = "agent.lock";

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct StateLock {
    _file: File,
}

/// Why the lock is not ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another agent holds it.
    #[error("lock the state folder: another agent is using it")]
    Held,
    /// The folder or file cannot be used.
    #[error("lock the state folder: {0}")]
    Io(#[from] io::Error),
}

impl StateLock {
    /// Takes the lock of `state_dir`, without waiting.
    ///
    /// # Errors
    /// When another process holds it, or the folder cannot be written.
    pub(crate) fn take(state_dir: &Path) -> Result<Self, LockError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(state_dir.join(LOCK_FILE))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held),
            Err(errno) => Err(LockError::Io(errno.into())),
        }
    }
}
