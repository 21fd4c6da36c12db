//! What can go wrong with the journal.

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Written by a newer agent; nothing was touched.
    #[error("open the journal: it has version {found}, this agent knows versions up to {known}")]
    NewerVersion {
        /// The version of the file.
        found: i64,
        /// The newest version this build knows.
        known: i64,
    },
    /// The disk is full; what was committed before is safe.
    #[error("write the journal: the disk is full")]
    DiskFull,
    /// The file system cannot do what the journal needs.
    #[error("open the journal: its mode stays {mode:?}, \"wal\" needs a local file system")]
    JournalMode {
        /// The mode it is in.
        mode: String,
    },
    /// SQLite refuses.
    #[error("use the journal: {0}")]
    Sqlite(rusqlite::Error),
    /// The schema cannot be brought up to date.
    #[error("upgrade the journal: {0}")]
    Migration(#[from] refinery::Error),
    /// A row is not what this agent writes.
    #[error("read the journal: {0}")]
    Damaged(String),
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            return Self::DiskFull;
        }
        Self::Sqlite(error)
    }
}
