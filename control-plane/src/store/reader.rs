//! The event list, from connections that cannot write: never on the reducer's path.
//!
//! The log has no index by host, so a page looks at a bounded number of rows and says where to go on
//! (O3: from either end, with a cursor).
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
use super::load;
use super::row::{Columns, sql_int};
use super::schema::open_read_only;
use crate::core::{KEPT_KINDS, LogEnd};

/// How many rows one page may look at, whatever it finds.
const MAX_SCANNED_ROWS: u64 = 50_000;

/// How many pages are read at once.
const MAX_CONNECTIONS: usize = 4;

/// The columns that [`event`] reads.
pub(super) const EVENT_COLUMNS: &str =
    "seq, at, host, rollout_id, kind, actor, synthetic, payload, chain";

macro_rules! page_sql {
    () => {
        "SELECT seq, at, host, rollout_id, kind, actor, synthetic, payload, chain FROM event_log
         WHERE seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR rollout_id = ?3)
           AND (?4 IS NULL OR host = ?4) AND (?5 IS NULL OR kind = ?5)"
    };
}
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
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl EventReader {
    /// A reader of the database at `path`, which must exist.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            idle: Arc::default(),
        }
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

    fn with_connection<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_read_only(&self.path)?,
        };
        let result = read(&connection)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }
}

/// The rows a page may look at, both ends included.
struct Window {
    low: u64,
    high: u64,
    /// Where the next page begins when this one is not full.
    beyond: Option<u64>,
}

impl Window {
    fn of(range: EventRange, last: u64) -> Self {
        match range {
            EventRange::Ascending { from } => {
                let low = from.0.max(1);
                let high = last.min(low.saturating_add(MAX_SCANNED_ROWS - 1));
                Self { low, high, beyond: (high < last).then(|| high + 1) }
            }
            EventRange::Descending { from } => {
                let high = from.map_or(last, |from| from.0.min(last));
                let low = high.saturating_sub(MAX_SCANNED_ROWS - 1).max(1);
                Self { low, high, beyond: (low > 1).then(|| low - 1) }
            }
        }
    }
}

fn read_page(connection: &Connection, query: &EventQuery) -> Result<EventPage, StoreError> {
    let last = load::tail(connection)?.seq.0;
    let window = Window::of(query.range, last);
    let sql = match query.range {
        EventRange::Ascending { .. } => concat!(page_sql!(), " ORDER BY seq ASC LIMIT ?6"),
        EventRange::Descending { .. } => concat!(page_sql!(), " ORDER BY seq DESC LIMIT ?6"),
    };
    let mut statement = connection.prepare_cached(sql)?;
    // One more than asked for: whether there is a next page, and where it begins.
    let limit = sql_int(u64::try_from(query.limit).unwrap_or(u64::MAX).saturating_add(1));
    let mut rows = statement.query(params![
        sql_int(window.low),
        sql_int(window.high),
        query.rollout_id.as_ref().map(ToString::to_string),
        query.host.as_ref().map(HostName::as_str),
        query.kind,
        limit,
    ])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(event(&Columns { table: "event_log", row })?);
    }
    let next =
        if items.len() > query.limit { items.pop().map(|item| item.seq.0) } else { window.beyond };
    Ok(EventPage { items, next: next.map(LogSeq) })
}

/// A log row, from the columns in the order of the table.
pub(super) fn event(columns: &Columns<'_>) -> Result<EventItem, StoreError> {
    Ok(EventItem {
        seq: columns.log_seq(0)?,
        at: columns.text(1)?,
        host: columns.optional_text(2)?,
        rollout_id: columns.optional_text(3)?,
        kind: columns.row.get(4)?,
        actor: columns.row.get(5)?,
        synthetic: columns.row.get(6)?,
        payload: columns.json(7)?,
        chain: columns.hash(8)?,
    })
}
