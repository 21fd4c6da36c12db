//! Verifying a database at rest: SQLite's own checks, references, the chain of the log.
//!
//! Not here: the release folder and the blobs (see [`crate::workers::release`]).

use std::path::Path;

use rusqlite::Connection;
use wavegate_proto::canonical::chain_log;
use wavegate_proto::ids::{LogSeq, Sha256Hash};

use super::error::StoreError;
use super::reader::event;
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
    let (rows, chain) = chain(&connection)?;
    findings.extend(chain);
    Ok(CheckReport { rows, findings })
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

/// Recomputes the chain. Stops at the first row that does not fit: every later one would not either.
fn chain(connection: &Connection) -> Result<(u64, Option<String>), StoreError> {
    let mut statement = connection.prepare(
        "SELECT seq, at, host, rollout_id, kind, actor, synthetic, payload, chain
         FROM event_log ORDER BY seq",
    )?;
    let mut found = statement.query([])?;
    let mut expected = LogSeq(0);
    let mut previous = Sha256Hash::default();
    while let Some(row) = found.next()? {
        expected = expected.next();
        let item = match event(&Columns { table: "event_log", row }) {
            Ok(item) => item,
            Err(error) => {
                return Ok((expected.0 - 1, Some(format!("log row {expected}: {error}"))));
            }
        };
        if item.seq != expected {
            let finding = format!("log row {expected} is missing");
            return Ok((expected.0 - 1, Some(finding)));
        }
        previous = chain_log(&previous, &item);
        if item.chain != previous {
            let finding = format!("log row {expected}: it was changed, or a row before it");
            return Ok((expected.0 - 1, Some(finding)));
        }
    }
    Ok((expected.0, None))
}
