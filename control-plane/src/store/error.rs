//! Why the store cannot be used.
//!
//! Not here: exit codes (see `exit`).

use wavegate_proto::ids::LogSeq;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database was written by a newer program.
    #[error("open the database: its schema is version {found}, this program knows {known}")]
    Newer {
        /// The version of the database.
        found: i32,
        /// The newest this program knows.
        known: i32,
    },
    /// The file system cannot do what the database needs.
    #[error(
        "open the database: its journal mode stays {mode:?}, \"wal\" needs a local file system"
    )]
    JournalMode {
        /// The mode it is in.
        mode: String,
    },
    /// SQLite refuses.
    #[error("use the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A migration does not apply.
    #[error("migrate the database: {0}")]
    Migration(#[from] refinery::Error),
    /// A row does not hold what its column says.
    #[error("read {table}: {reason}")]
    Malformed {
        /// The table.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A log row does not follow the one before it.
    #[error("append to the log: row {got} after row {last}")]
    Gap {
        /// The last row.
        last: LogSeq,
        /// The row that was to follow.
        got: LogSeq,
    },
}

impl StoreError {
    pub(super) fn malformed(table: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { table, reason: reason.to_string() }
    }
}
