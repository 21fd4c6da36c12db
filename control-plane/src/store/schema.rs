//! Opening the database: settings, migrations, the epoch.
//!
//! Not here: the tables (see the `migrations` crate).

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use wavegate_proto::ids::CpEpoch;
use wavegate_proto::time::Timestamp;

use super::error::StoreError;

/// Prepared statements kept per connection.
const STATEMENT_CACHE: usize = 64;

/// Whether the database was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// It was.
    Existing,
    /// It was made now.
    New,
}

/// Opens or makes the database, and brings it to this program's version.
pub(super) fn open(
    path: &Path,
    now: Timestamp,
) -> Result<(Connection, CpEpoch, Opened), StoreError> {
    refuse_newer(path)?;
    let mut connection = Connection::open(path)?;
    settings(&connection)?;
    // The file appears in its folder for good before anything in it is acknowledged.
    if let Some(folder) = path.parent().and_then(|folder| std::fs::File::open(folder).ok()) {
        // Some file systems cannot sync a folder; there the journal itself is as safe as it gets.
        let _unsupported = folder.sync_all();
    }
    // A table that is made anew is dropped for a moment, while others refer to it.
    connection.pragma_update(None, "foreign_keys", false)?;
    // Grouped: one transaction. What is applied without its note would be applied again.
    wavegate_migrations::control_plane::migrations::runner()
        .set_grouped(true)
        .run(&mut connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let (epoch, opened) = epoch(&mut connection, now)?;
    Ok((connection, epoch, opened))
}

/// `synchronous=FULL`: what is acknowledged survives a power cut.
fn settings(connection: &Connection) -> Result<(), StoreError> {
    // Read to its end, where SQLite tells whether the disk took the change: in the mode from before, a
    // power cut may take a commit back.
    let mut mode = String::new();
    connection.pragma(None, "journal_mode", "WAL", |row| {
        mode = row.get(0)?;
        Ok(())
    })?;
    if mode != "wal" {
        return Err(StoreError::JournalMode { mode });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 10_000, |_| Ok(()))?;
    // 16 MB: what is beyond is in the system's cache, a copy away, and not counted as the program's memory.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(())
}

/// The newest schema this program knows.
#[must_use]
pub fn known_version() -> i32 {
    let runner = wavegate_migrations::control_plane::migrations::runner();
    runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0)
}

/// A database of a newer program is left untouched: it is looked at through a connection that cannot
/// write.
pub(super) fn refuse_newer(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let found = match version(&open_read_only(path)?) {
        // It was cut off while it was being made. SQLite undoes what was begun, for whoever may write.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
            version(&Connection::open(path)?)?
        }
        found => found?,
    };
    let known = known_version();
    match found {
        Some(found) if found > known => Err(StoreError::Newer { found, known }),
        Some(_) | None => Ok(()),
    }
}

/// The newest migration that was applied; `None`: none.
fn version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let has_history: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history')",
        [],
        |row| row.get(0),
    )?;
    if !has_history {
        return Ok(None);
    }
    connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
}

/// A connection that cannot write.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// The database's epoch, made with it.
fn epoch(connection: &mut Connection, now: Timestamp) -> Result<(CpEpoch, Opened), StoreError> {
    let transaction = connection.transaction()?;
    let known: Option<String> = transaction
        .query_row("SELECT value FROM meta WHERE key = 'cp_epoch'", [], |row| row.get(0))
        .optional()?;
    if let Some(text) = known {
        let epoch = text.parse().map_err(|e| StoreError::malformed("meta", e))?;
        return Ok((epoch, Opened::Existing));
    }
    let epoch = CpEpoch(uuid::Uuid::new_v4());
    let insert = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
    transaction.execute(insert, ("cp_epoch", epoch.to_string()))?;
    transaction.execute(insert, ("created_at", now.to_string()))?;
    transaction.commit()?;
    Ok((epoch, Opened::New))
}
