//! Where the rows of a host, a rollout or a kind are: an index of the log, in a file of its own beside the
//! database, filled in the background. The hot append pays nothing for it.
//!
//! It may be deleted, and is made anew when it does not fit the log. What it does not know yet is looked
//! through row by row (see [`super::reader`]).
//!
//! Not here: when it is filled (see [`crate::workers::indexing`]).

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};
use wavegate_proto::ids::LogSeq;

use super::error::StoreError;
use super::row::sql_int;

/// The name of the index in the state folder.
const INDEX_FILE: &str = "events-index.db";

/// The version of its tables; another one is made anew.
const VERSION: i32 = 1;

const TABLES: &str = "
    CREATE TABLE progress (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL, chain BLOB NOT NULL
    ) STRICT;
    CREATE TABLE names (
        id INTEGER PRIMARY KEY, facet TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (facet, name)
    ) STRICT;
    CREATE TABLE places (
        name_id INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (name_id, seq)
    ) STRICT, WITHOUT ROWID;";

/// What rows are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facet {
    Host,
    Rollout,
    Kind,
}

impl Facet {
    const ALL: [Self; 3] = [Self::Host, Self::Rollout, Self::Kind];

    /// The column of the log, which is also its name in the index.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Rollout => "rollout_id",
            Self::Kind => "kind",
        }
    }
}

/// The index, open for writing.
#[derive(Debug)]
pub struct EventIndex {
    path: PathBuf,
    connection: Connection,
    through: LogSeq,
}

impl EventIndex {
    /// Opens the index of the database at `database`, or makes it anew.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(database: &Path) -> Result<Self, StoreError> {
        let path = database.with_file_name(INDEX_FILE);
        match Self::open_at(&path, database) {
            Ok(index) if index.fits()? => Ok(index),
            Ok(_) | Err(StoreError::Sqlite(_)) => {
                remove(&path)?;
                Self::open_at(&path, database)
            }
            Err(error) => Err(error),
        }
    }

    fn open_at(path: &Path, database: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // What a power cut takes is made anew.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute("ATTACH ?1 AS log", [database.to_string_lossy()])?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            connection.execute_batch(&format!(
                "BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT"
            ))?;
        }
        let sql = "SELECT seq FROM progress";
        let through: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
        let through = LogSeq(through.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0));
        Ok(Self { path: path.to_owned(), connection, through })
    }

    /// Whether it is of this version, and of this log.
    fn fits(&self) -> Result<bool, StoreError> {
        let version: i32 =
            self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM progress)
            OR EXISTS (SELECT 1 FROM progress p JOIN log.event_log e ON e.seq = p.seq AND e.chain = p.chain)";
        let same_log: bool = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(version == VERSION && same_log)
    }

    /// Takes in the next rows of the log, at most `count`. Returns whether there may be more.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn take_in(&mut self, count: u64) -> Result<bool, StoreError> {
        let transaction = self.connection.transaction()?;
        // Counted in rows, not in numbers: the log may have gaps.
        let sql = "SELECT max(seq), count(*) FROM
            (SELECT seq FROM log.event_log WHERE seq > ?1 ORDER BY seq LIMIT ?2)";
        let through = sql_int(self.through.0);
        let (last, taken): (Option<i64>, i64) =
            transaction
                .query_row(sql, [through, sql_int(count)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some(last) = last else { return Ok(false) };
        let range = [through, last];
        for facet in Facet::ALL {
            let column = facet.column();
            transaction.execute(
                &format!(
                    "INSERT OR IGNORE INTO names (facet, name)
                     SELECT DISTINCT '{column}', {column} FROM log.event_log
                     WHERE seq > ?1 AND seq <= ?2 AND {column} IS NOT NULL"
                ),
                range,
            )?;
            transaction.execute(
                &format!(
                    "INSERT OR IGNORE INTO places (name_id, seq)
                     SELECT n.id, e.seq FROM log.event_log e
                     JOIN names n ON n.facet = '{column}' AND n.name = e.{column}
                     WHERE e.seq > ?1 AND e.seq <= ?2"
                ),
                range,
            )?;
        }
        transaction.execute(
            "INSERT OR REPLACE INTO progress (only_row, seq, chain)
             SELECT 1, seq, chain FROM log.event_log WHERE seq = ?1",
            [last],
        )?;
        transaction.commit()?;
        self.through = LogSeq(u64::try_from(last).unwrap_or(self.through.0));
        Ok(taken == sql_int(count))
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last row that has been taken in.
    #[must_use]
    pub fn through(&self) -> LogSeq {
        self.through
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    for beside in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(beside);
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::malformed("the index", error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
