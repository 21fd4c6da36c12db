//! A database made anew from the log of another: `wavegate-cp rebuild`.
//!
//! The new one has the same rows in the log, and in every derived table what folding them gives; beside
//! a sound database it comes out row for row the same. When hosts were last heard from, and what their
//! providers say last told, is not in the log: those tables stay empty until it happens again.
//!
//! Not here: the fold (see [`crate::core::rebuild`]); where the files of releases are kept (see
//! [`crate::workers::release`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use wavegate_proto::ids::RolloutId;
use wavegate_proto::log_chain::{LogFinding, LogWalk};
use wavegate_proto::time::Timestamp;

use super::batch::Batch;
use super::error::StoreError;
use super::page::{EVENT_COLUMNS, event};
use super::row::Columns;
use super::schema::{self, open_read_only, refuse_newer};
use super::{check, derived, writer};
use crate::core::CoreConfig;
use crate::core::rebuild::{Artifacts, PRUNED, Rebuild, RebuildError};

/// The tables that the log gives. A new derived table belongs here.
const DERIVED: [&str; 12] = [
    "rollouts",
    "waves",
    "host_rollouts",
    "marks",
    "probe_failures",
    "quarantines",
    "dispatches",
    "releases",
    "enrollments",
    "providers",
    "pruned_rollouts",
    "log_removed",
];

/// How many log rows one transaction writes.
const ROWS_PER_COMMIT: u64 = 5_000;

/// Why a database cannot be made anew.
#[derive(Debug, thiserror::Error)]
pub enum RebuildFailure {
    /// There is something already.
    #[error("write {}: it exists already", .0.display())]
    Exists(PathBuf),
    /// The log cannot be trusted.
    #[error("read the log: {0}")]
    Log(#[from] LogFinding),
    /// A row cannot be folded.
    #[error("fold {0}")]
    Fold(#[from] RebuildError),
    /// One of the databases cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new file cannot be put in place.
    #[error("put the new database in place: {0}")]
    Place(#[from] std::io::Error),
}

impl From<rusqlite::Error> for RebuildFailure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Log rows.
    pub rows: u64,
    /// Each derived table.
    pub tables: Vec<TableReport>,
}

/// A derived table, beside the same one of the database it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub table: &'static str,
    /// Its rows.
    pub rows: usize,
    /// Rows that the other does not have like this.
    pub only_here: usize,
    /// Rows of the other that are not here like that.
    pub only_there: usize,
}

impl TableReport {
    /// Whether both have the same rows.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.only_here == 0 && self.only_there == 0
    }
}

/// Folds the log of the database at `from` into a new database at `into`. Nothing of `from` is changed; it
/// may be in use.
///
/// # Errors
/// When the log does not hold together, a row cannot be folded, a file of a release is missing, or `into`
/// exists. Nothing is left at `into` then.
pub fn rebuild(
    from: &Path,
    into: &Path,
    config: CoreConfig,
    artifacts: impl Artifacts,
    now: Timestamp,
) -> Result<Rebuilt, RebuildFailure> {
    if into.exists() {
        return Err(RebuildFailure::Exists(into.to_owned()));
    }
    let name = into.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = into.with_file_name(format!("{name}.unfinished"));
    remove(&unfinished)?;
    let rebuilt = fold_into(from, &unfinished, config, artifacts, now);
    match rebuilt {
        Ok(rebuilt) => {
            std::fs::rename(&unfinished, into)?;
            Ok(rebuilt)
        }
        Err(error) => {
            remove(&unfinished)?;
            Err(error)
        }
    }
}

/// Removes a database and what SQLite keeps beside it.
fn remove(database: &Path) -> std::io::Result<()> {
    for beside in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(beside);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn fold_into<A: Artifacts>(
    from: &Path,
    into: &Path,
    config: CoreConfig,
    artifacts: A,
    now: Timestamp,
) -> Result<Rebuilt, RebuildFailure> {
    refuse_newer(from)?;
    let from = open_read_only(from)?;
    // One view of the log and of the tables, whatever is committed meanwhile.
    let from = from.unchecked_transaction()?;
    let (mut into, _, _) = schema::open(into, now)?;
    let mut rebuild = Rebuild::new(config, artifacts, pruned(&from)?);
    let mut walk = LogWalk::default();
    walk.announce(check::removed_runs(&from)?);
    let mut statement =
        from.prepare(&format!("SELECT {EVENT_COLUMNS} FROM event_log ORDER BY seq"))?;
    let mut rows = statement.query([])?;
    let mut more = true;
    while more {
        let transaction = into.transaction()?;
        let (begun, mut writes) = (walk.rows(), Vec::new());
        while walk.rows() - begun < ROWS_PER_COMMIT {
            let Some(row) = rows.next()? else {
                more = false;
                break;
            };
            let row = event(&Columns { table: "event_log", row })?;
            walk.take(&row)?;
            writes.extend(rebuild.fold(&row)?);
            writer::insert(&transaction, &row)?;
        }
        derived::write(&transaction, &Batch::new(writes))?;
        transaction.commit().map_err(StoreError::from)?;
    }
    walk.finish()?;
    into.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let tables = DERIVED.into_iter().map(|table| compare(&into, &from, table));
    Ok(Rebuilt { rows: walk.rows(), tables: tables.collect::<Result<_, _>>()? })
}

/// The rollouts that the log prunes.
fn pruned(connection: &Connection) -> Result<BTreeSet<RolloutId>, StoreError> {
    let mut statement = connection.prepare("SELECT rollout_id FROM event_log WHERE kind = ?1")?;
    let mut found = statement.query([PRUNED])?;
    let mut pruned = BTreeSet::new();
    while let Some(row) = found.next()? {
        pruned.extend(Columns { table: "event_log", row }.optional_text(0)?);
    }
    Ok(pruned)
}

fn compare(
    here: &Connection,
    there: &Connection,
    table: &'static str,
) -> Result<TableReport, StoreError> {
    let (here, there) = (digests(here, table)?, digests(there, table)?);
    Ok(TableReport {
        table,
        rows: here.len(),
        only_here: here.difference(&there).count(),
        only_there: there.difference(&here).count(),
    })
}

/// Each row of a table, as a hash.
fn digests(connection: &Connection, table: &'static str) -> Result<BTreeSet<[u8; 32]>, StoreError> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut digests = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let mut hasher = Sha256::new();
        for column in 0..columns {
            hasher.update(format!("{:?}\n", row.get_ref(column)?));
        }
        digests.insert(hasher.finalize().into());
    }
    Ok(digests)
}
