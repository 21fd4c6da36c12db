//! The journal's schema version.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use wavegate_migrations::agent::migrations;

use super::JournalError;

/// Refuses a journal that a newer agent has written.
pub(super) fn refuse_newer(db: &Connection) -> Result<(), JournalError> {
    let runner = migrations::runner();
    let known = runner.get_migrations().iter().map(|m| i64::from(m.version())).max().unwrap_or(0);
    let found = version(db)?;
    if found > known {
        return Err(JournalError::NewerVersion { found, known });
    }
    Ok(())
}

/// Brings the schema up to date.
pub(super) fn migrate(db: &mut Connection) -> Result<(), JournalError> {
    migrations::runner().set_grouped(true).run(db)?;
    Ok(())
}

/// Whether it was cut off while it was being made: only a connection that may write can undo what was
/// begun.
pub(super) fn is_half_made(db: &Connection) -> bool {
    let looked = db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    looked.is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::ReadOnly))
}

fn version(db: &Connection) -> Result<i64, JournalError> {
    const HAS_HISTORY: &str =
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
    let has_history: Option<i64> = db.query_row(HAS_HISTORY, [], |row| row.get(0)).optional()?;
    if has_history.is_none() {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
    Ok(db.query_row(newest, [], |row| row.get(0))?)
}
