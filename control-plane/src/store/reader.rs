//! The event list, from connections that cannot write: never on the reducer's path.
//!
//! O3: the list is read from either end, with a cursor (see [`super::page`]).
//!
//! Not here: everything that is read from the live model (see [`crate::core::Query`]).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, params};
use tokio::sync::Semaphore;
use wavegate_proto::ids::{HostName, LogSeq, RolloutId};
use wavegate_proto::log_chain::RemovedRun;
use wavegate_proto::wire::operator::EventItem;

use super::error::StoreError;
use super::index::EventIndex;
use super::page::{INDEX, read_page};
use super::row::{Columns, sql_int};
use super::schema::open_read_only;
use crate::core::{KEPT_KINDS, LogEnd};

/// How many pages are read at once.
const MAX_CONNECTIONS: usize = 4;

/// Which end to begin at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRange {
    /// Rising, from this row on.
    Ascending {
        /// The first row.
        from: LogSeq,
    },
    /// Falling, from this row on; `None`: from the newest.
    Descending {
        /// The first row.
        from: Option<LogSeq>,
    },
}

/// Which events to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// From where, which way.
    pub range: EventRange,
    /// At most so many.
    pub limit: usize,
    /// Only of this rollout.
    pub rollout_id: Option<RolloutId>,
    /// Only about this host.
    pub host: Option<HostName>,
    /// Only of this kind.
    pub kind: Option<String>,
}

/// One page of events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// The rows.
    pub items: Vec<EventItem>,
    /// Where the next page begins; `None`: there is no more.
    pub next: Option<LogSeq>,
}

/// A small pool of connections that cannot write. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventReader {
    path: PathBuf,
    index: Option<PathBuf>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl EventReader {
    /// A reader of the database at `path`, which must exist.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            index: None,
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            idle: Arc::default(),
        }
    }

    /// The same with an index that fits the log.
    #[must_use]
    pub fn with_index(self, index: &EventIndex) -> Self {
        Self { index: Some(index.path().to_owned()), ..self }
    }

    /// One page.
    ///
    /// # Errors
    /// What SQLite says, or a malformed row.
    pub async fn page(&self, query: EventQuery) -> Result<EventPage, StoreError> {
        self.read(move |connection| read_page(connection, &query)).await
    }

    /// Whether the log has this row with this chain, or had it before it was compacted.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn has(&self, end: LogEnd) -> Result<bool, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM event_log WHERE seq = ?1 AND chain = ?2)
                OR EXISTS (SELECT 1 FROM log_removed WHERE ?1 BETWEEN first_seq AND last_seq
                           AND (last_seq <> ?1 OR chain = ?2))";
            let mut statement = connection.prepare_cached(sql)?;
            let row = params![sql_int(end.seq.0), end.chain.0];
            Ok(statement.query_row(row, |row| row.get(0))?)
        })
        .await
    }

    /// The row that pruned a rollout last; 0: none has been.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn last_pruned(&self) -> Result<LogSeq, StoreError> {
        self.read(|connection| {
            let sql = "SELECT coalesce(max(log_seq), 0) FROM pruned_rollouts";
            let mut rows = connection.prepare_cached(sql)?;
            let mut found = rows.query([])?;
            let row = found.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Columns { table: "pruned_rollouts", row }.log_seq(0)
        })
        .await
    }

    /// Which of `count` rows from `from` on are of pruned rollouts and not needed for anything else.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn removable(&self, from: LogSeq, count: u64) -> Result<Vec<RemovedRun>, StoreError> {
        self.read(move |connection| {
            let kept = KEPT_KINDS.map(|kind| format!("'{kind}'")).join(", ");
            let sql = format!(
                "SELECT seq, chain FROM event_log WHERE seq BETWEEN ?1 AND ?2
                 AND rollout_id IN (SELECT rollout_id FROM pruned_rollouts)
                 AND kind NOT IN ({kept}) ORDER BY seq"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let last = from.0.saturating_add(count.saturating_sub(1));
            let mut rows = statement.query([sql_int(from.0), sql_int(last)])?;
            let mut runs: Vec<RemovedRun> = Vec::new();
            while let Some(row) = rows.next()? {
                let columns = Columns { table: "event_log", row };
                let (seq, chain) = (columns.log_seq(0)?, columns.hash(1)?);
                match runs.last_mut() {
                    Some(run) if run.last.next() == seq => (run.last, run.chain) = (seq, chain),
                    Some(_) | None => runs.push(RemovedRun { first: seq, last: seq, chain }),
                }
            }
            Ok(runs)
        })
        .await
    }

    /// Reads on one of the connections, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = |_| StoreError::malformed("event_log", "the reader has stopped");
        let _permit = self.permits.acquire().await.map_err(stopped)?;
        let reader = self.clone();
        tokio::task::spawn_blocking(move || reader.with_connection(read))
            .await
            .map_err(|error| StoreError::malformed("event_log", error))?
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let connection = open_read_only(&self.path)?;
        if let Some(index) = &self.index {
            let attach = format!("ATTACH ?1 AS {INDEX}");
            connection.execute(&attach, [index.to_string_lossy()])?;
        }
        Ok(connection)
    }

    fn with_connection<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let result = read(&connection)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }
}
