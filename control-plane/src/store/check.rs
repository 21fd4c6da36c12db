//! Verifying a database at rest: SQLite's own checks, references, the chain of the log.
//!
//! Not here: the release folder and the blobs (see [`crate::workers::release`]).

use std::path::Path;

use rusqlite::Connection;
use wavegate_proto::log_chain::{COMPACTED, Compacted, LogWalk, RemovedRun};

use super::error::StoreError;
use super::page::{EVENT_COLUMNS, event};
use super::row::Columns;
use super::schema::{open_read_only, refuse_newer};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// How many log rows were verified.
    pub rows: u64,
    /// What is wrong, a sentence each; empty: nothing.
    pub findings: Vec<String>,
}

/// Verifies the database at `path` without changing it.
///
/// # Errors
/// When it cannot be read at all.
pub fn check(path: &Path) -> Result<CheckReport, StoreError> {
    refuse_newer(path)?;
    let connection = open_read_only(path)?;
    let mut findings = integrity(&connection)?;
    findings.extend(references(&connection)?);
    let log = walk(&connection)?;
    findings.extend(log.finding);
    Ok(CheckReport { rows: log.walk.rows(), findings })
}

fn integrity(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").map(|l| format!("integrity: {l}")).collect())
}

/// Each derived row names a log row that exists.
fn references(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let found = statement.query_map([], |row| {
        let (table, row_id): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        let row_id = row_id.map_or_else(String::new, |id| format!(" row {id}"));
        Ok(format!("{table}{row_id}: names a row that does not exist"))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The log of a database, walked from end to end.
#[derive(Debug, Clone)]
pub struct LogReport {
    /// How far the walk came.
    pub walk: LogWalk,
    /// What does not fit, in words; `None`: everything does.
    pub finding: Option<String>,
}

/// Recomputes the chain of the log in the database at `path`, without changing it.
///
/// # Errors
/// When it cannot be read at all.
pub fn check_log(path: &Path) -> Result<LogReport, StoreError> {
    refuse_newer(path)?;
    walk(&open_read_only(path)?)
}

fn walk(connection: &Connection) -> Result<LogReport, StoreError> {
    // One view of the log, whatever is committed meanwhile.
    let connection = connection.unchecked_transaction()?;
    let mut walk = LogWalk::default();
    walk.announce(removed_runs(&connection)?);
    let mut statement =
        connection.prepare(&format!("SELECT {EVENT_COLUMNS} FROM event_log ORDER BY seq"))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let taken = match event(&Columns { table: "event_log", row }) {
            Ok(item) => walk.take(&item).map_err(|finding| finding.to_string()),
            Err(error) => Err(format!("log row {}: {error}", walk.last().next())),
        };
        if let Err(finding) = taken {
            return Ok(LogReport { walk, finding: Some(finding) });
        }
    }
    let finding = walk.finish().err().map(|finding| finding.to_string());
    Ok(LogReport { walk, finding })
}

/// What the log says that compaction removed from it.
pub(super) fn removed_runs(connection: &Connection) -> Result<Vec<RemovedRun>, StoreError> {
    let mut statement = connection.prepare("SELECT payload FROM event_log WHERE kind = ?1")?;
    let mut found = statement.query([COMPACTED])?;
    let mut runs = Vec::new();
    while let Some(row) = found.next()? {
        // A row that does not hold what it should is found by the walk.
        if let Ok(compacted) = (Columns { table: "event_log", row }).json::<Compacted>(0) {
            runs.extend(compacted.runs);
        }
    }
    Ok(runs)
}
