//! The durable journal, `journal.sqlite`: what this host did, in order. The truth of the agent.
//!
//! Every change of one decision is one transaction, committed before anything the decision asks
//! for is done. WAL with `synchronous=FULL`: what was committed survives a power cut.
//!
//! Not here: what to write and what it means (see `wavegate_state_machine::agent`).

mod columns;
mod error;
mod note;
mod read;
mod schema;
mod trust;
mod write;

pub use error::JournalError;
pub use note::{Contact, Note};
pub use read::{RawJournal, Stored};

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The name of the journal in the state folder.
pub const JOURNAL_FILE: &str = "journal.sqlite";

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    db: Connection,
}

impl Journal {
    /// Opens the journal of `state_dir`, making or upgrading it where needed.
    ///
    /// # Errors
    /// When it is of a newer version (then it is not touched), damaged, or cannot be written.
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        let path = state_dir.join(JOURNAL_FILE);
        if path.exists() {
            let looked_at = open_with(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            if !schema::is_half_made(&looked_at) {
                schema::refuse_newer(&looked_at)?;
            }
        }
        let writable = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut db = open_with(&path, writable)?;
        // Read to its end, where SQLite tells whether the disk took the change: in the mode from before,
        // a power cut may take a commit back.
        let mut mode = String::new();
        db.pragma(None, "journal_mode", "WAL", |row| {
            mode = row.get(0)?;
            Ok(())
        })?;
        if mode != "wal" {
            return Err(JournalError::JournalMode { mode });
        }
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut db)?;
        Ok(Self { db })
    }

    /// Opens the journal only to read it, also while the agent runs.
    ///
    /// # Errors
    /// When there is none, or it is of a newer version.
    pub fn open_read_only(state_dir: &Path) -> Result<Self, JournalError> {
        let db = open_with(&state_dir.join(JOURNAL_FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        schema::refuse_newer(&db)?;
        Ok(Self { db })
    }
}

fn open_with(path: &Path, flags: OpenFlags) -> Result<Connection, JournalError> {
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    Ok(db)
}

#[cfg(test)]
mod tests;
