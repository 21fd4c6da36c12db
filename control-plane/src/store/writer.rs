//! The one writer: a batch is one transaction, with log and derived rows in it (D2).
//!
//! Not here: the thread it runs on and what is answered after (see [`crate::service`]).

use std::path::Path;

use rusqlite::{Connection, params};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::EventItem;

use super::batch::Batch;
use super::error::StoreError;
use super::row::sql_int;
use super::{derived, load, schema};
use crate::core::{LogEnd, LogRow, Stored, Write};

/// The database, open for writing.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    tail: LogEnd,
}

impl Store {
    /// Opens the database, makes it when absent, and reads everything back.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program wrote it (the file is untouched), or what SQLite says.
    pub fn open(path: &Path, now: Timestamp) -> Result<(Self, Stored), StoreError> {
        let (connection, epoch, opened) = schema::open(path, now)?;
        let (stored, tail) = load::stored(&connection, epoch, opened)?;
        Ok((Self { connection, tail }, stored))
    }

    /// Writes a batch in one transaction. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// When it could not be committed. Memory is ahead of the disk then: the process must stop.
    pub fn commit(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(writes);
        if batch.removed.is_empty() {
            return self.commit_batch(&mut batch);
        }
        // SQLite would look through every derived table for each log row that goes, to see whether one
        // names it. Rows that are named are not removed (see `EventReader::removable`).
        self.connection.pragma_update(None, "foreign_keys", false)?;
        self.commit_batch(&mut batch)?;
        Ok(self.connection.pragma_update(None, "foreign_keys", true)?)
    }

    fn commit_batch(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let mut tail = self.tail;
        for row in std::mem::take(&mut batch.log) {
            tail = append(&transaction, tail, row)?;
        }
        derived::write(&transaction, batch)?;
        transaction.commit()?;
        self.tail = tail;
        Ok(())
    }

    /// The end of the log.
    #[must_use]
    pub fn log_end(&self) -> LogEnd {
        self.tail
    }

    /// The settings that durability rests on: journal mode, `synchronous` (2 is FULL), pages between
    /// checkpoints.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn settings(&self) -> Result<(String, i64, i64), StoreError> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        let journal_mode =
            self.connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok((journal_mode, pragma("synchronous")?, pragma("wal_autocheckpoint")?))
    }

    /// Moves everything from the write-ahead log into the database file.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}

fn append(connection: &Connection, tail: LogEnd, row: LogRow) -> Result<LogEnd, StoreError> {
    if row.seq != tail.seq.next() {
        return Err(StoreError::Gap { last: tail.seq, got: row.seq });
    }
    let item = row.chained(&tail.chain);
    insert(connection, &item)?;
    Ok(LogEnd { seq: item.seq, chain: item.chain })
}

/// Writes a row that has been chained.
pub(super) fn insert(connection: &Connection, item: &EventItem) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO event_log
                 (seq, at, host, rollout_id, kind, actor, synthetic, payload, chain)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            sql_int(item.seq.0),
            item.at.to_string(),
            item.host.as_ref().map(wavegate_proto::ids::HostName::as_str),
            item.rollout_id.as_ref().map(ToString::to_string),
            item.kind,
            item.actor,
            item.synthetic,
            item.payload.to_string(),
            item.chain.0,
        ])?;
    Ok(())
}
