//! One table on the same disk, with any setting of `synchronous`: the control that shows what the
//! settings of the real stores are worth.

use std::path::Path;

use fastrand::Rng;
use rusqlite::Connection;

use super::trial::{Subject, integrity, tables_except};

/// A table whose commits are as durable as `LEVEL` makes them: 0 is OFF, 1 is NORMAL, 2 is FULL.
#[derive(Debug)]
pub struct Bare<const LEVEL: i64> {
    connection: Connection,
}

impl<const LEVEL: i64> Subject for Bare<LEVEL> {
    const FILE: &'static str = "bare.db";
    type Batch = Vec<(u64, Vec<u8>)>;
    type Batches = u64;

    fn open(folder: &Path) -> Result<(Self, String), String> {
        let open = || {
            let connection = Connection::open(folder.join(Self::FILE))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", LEVEL)?;
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS facts (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|error: rusqlite::Error| error.to_string())?;
        Ok((Self { connection }, String::new()))
    }

    fn next(last: &mut u64, rng: &mut Rng) -> Self::Batch {
        let mut batch = Vec::new();
        for _ in 0..rng.u8(1..8) {
            *last += 1;
            batch.push((*last, vec![*last as u8; rng.usize(20..600)]));
        }
        batch
    }

    fn commit(&mut self, batch: &Self::Batch) -> Result<(), String> {
        let mut commit = || {
            let transaction = self.connection.transaction()?;
            for (seq, payload) in batch {
                let insert = "INSERT INTO facts (seq, payload) VALUES (?1, ?2)";
                transaction.execute(insert, (i64::try_from(*seq).unwrap_or(0), payload))?;
            }
            transaction.commit()
        };
        commit().map_err(|error: rusqlite::Error| error.to_string())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.query_row(checkpoint, [], |_| Ok(())).map_err(|error| error.to_string())
    }

    fn check(folder: &Path) -> Result<Vec<String>, String> {
        integrity(&folder.join(Self::FILE))
    }

    fn queries(connection: &Connection) -> rusqlite::Result<Vec<String>> {
        tables_except(connection, &[])
    }
}
