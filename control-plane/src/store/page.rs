//! One page of the log: found by the index as far as it goes, row by row where it does not. A page looks at
//! a bounded number of rows and says where to go on.
//!
//! Not here: the connections it is read on (see [`super::reader`]), the index (see [`super::index`]).

use rusqlite::{Connection, OptionalExtension as _, named_params};
use wavegate_proto::ids::{HostName, LogSeq};
use wavegate_proto::wire::operator::EventItem;

use super::error::StoreError;
use super::index::Facet;
use super::load;
use super::reader::{EventPage, EventQuery, EventRange};
use super::row::{Columns, sql_int};

/// How many rows one page may look at in each way, whatever it finds.
const MAX_ROWS_LOOKED_AT: u64 = 50_000;

/// The columns that [`event`] reads.
pub(super) const EVENT_COLUMNS: &str =
    "seq, at, host, rollout_id, kind, actor, synthetic, payload, chain";

/// The name under which a connection has the index.
pub(super) const INDEX: &str = "by_name";

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Rising,
    Falling,
}

impl Order {
    fn sql(self) -> &'static str {
        match self {
            Self::Rising => "ASC",
            Self::Falling => "DESC",
        }
    }
}

/// Rows that are looked at in one way, both ends included.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    low: u64,
    high: u64,
    /// With the name that is looked up; `None`: row by row.
    name_id: Option<i64>,
}

pub(super) fn read_page(
    connection: &Connection,
    query: &EventQuery,
) -> Result<EventPage, StoreError> {
    let last = load::tail(connection)?.seq.0;
    let (order, low, high) = match query.range {
        EventRange::Ascending { from } => (Order::Rising, from.0.max(1), last),
        EventRange::Descending { from } => {
            (Order::Falling, 1, from.map_or(last, |from| from.0.min(last)))
        }
    };
    let mut items = Vec::new();
    for stretch in stretches(connection, query, order, (low, high))? {
        let next = look_through(connection, query, order, stretch, &mut items)?;
        if next.is_some() {
            return Ok(EventPage { items, next: next.map(LogSeq) });
        }
    }
    Ok(EventPage { items, next: None })
}

/// The rows from `low` to `high`: those that the index knows, and those after them.
fn stretches(
    connection: &Connection,
    query: &EventQuery,
    order: Order,
    (low, high): (u64, u64),
) -> Result<Vec<Stretch>, StoreError> {
    let by_row = |low| Stretch { low, high, name_id: None };
    let mut stretches = match look_up(connection, query)? {
        None => vec![by_row(low)],
        Some((name_id, through)) => vec![
            Stretch { low, high: high.min(through), name_id: Some(name_id) },
            by_row(low.max(through.saturating_add(1))),
        ],
    };
    match order {
        Order::Rising => {}
        Order::Falling => stretches.reverse(),
    }
    stretches.retain(|stretch| stretch.low <= stretch.high);
    Ok(stretches)
}

/// The name that the index is asked for, and how far the index goes; `None`: it does not help.
fn look_up(connection: &Connection, query: &EventQuery) -> Result<Option<(i64, u64)>, StoreError> {
    let host = query.host.as_ref().map(|host| (Facet::Host, host.to_string()));
    let rollout = || query.rollout_id.as_ref().map(|id| (Facet::Rollout, id.to_string()));
    let kind = || query.kind.clone().map(|kind| (Facet::Kind, kind));
    let Some((facet, name)) = host.or_else(rollout).or_else(kind) else { return Ok(None) };
    if !has_index(connection)? {
        return Ok(None);
    }
    let through = format!("SELECT seq FROM {INDEX}.progress");
    let through: Option<i64> =
        connection.prepare_cached(&through)?.query_row([], |row| row.get(0)).optional()?;
    let Some(through) = through.and_then(|seq| u64::try_from(seq).ok()) else { return Ok(None) };
    let id = format!("SELECT id FROM {INDEX}.names WHERE facet = ?1 AND name = ?2");
    let id: Option<i64> = connection
        .prepare_cached(&id)?
        .query_row([facet.column(), &name], |row| row.get(0))
        .optional()?;
    // A name that is not in the index is in none of the rows it knows: no row has the id 0.
    Ok(Some((id.unwrap_or(0), through)))
}

fn has_index(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_database_list WHERE name = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([INDEX], |row| row.get(0))?)
}

/// Adds what is found in a stretch. Returns where the next page begins, when this one is full or has
/// looked at enough.
fn look_through(
    connection: &Connection,
    query: &EventQuery,
    order: Order,
    stretch: Stretch,
    items: &mut Vec<EventItem>,
) -> Result<Option<u64>, StoreError> {
    let (stretch, beyond) = bounded(connection, order, stretch)?;
    let (source, key, named) = match stretch.name_id {
        Some(_) => (
            format!("{INDEX}.places p CROSS JOIN event_log e ON e.seq = p.seq"),
            "p.seq",
            "p.name_id = :name",
        ),
        None => ("event_log e".to_owned(), "e.seq", ":name IS NULL"),
    };
    let sql = format!(
        "SELECT e.seq, e.at, e.host, e.rollout_id, e.kind, e.actor, e.synthetic, e.payload, e.chain
         FROM {source} WHERE {named} AND {key} BETWEEN :low AND :high
           AND (:rollout IS NULL OR e.rollout_id = :rollout)
           AND (:host IS NULL OR e.host = :host) AND (:kind IS NULL OR e.kind = :kind)
         ORDER BY {key} {} LIMIT :limit",
        order.sql()
    );
    // One more than there is room for: whether there is a next page, and where it begins.
    let room = query.limit.saturating_sub(items.len());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(named_params! {
        ":low": sql_int(stretch.low),
        ":high": sql_int(stretch.high),
        ":rollout": query.rollout_id.as_ref().map(ToString::to_string),
        ":host": query.host.as_ref().map(HostName::as_str),
        ":kind": query.kind,
        ":name": stretch.name_id,
        ":limit": sql_int(u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1)),
    })?;
    while let Some(row) = rows.next()? {
        items.push(event(&Columns { table: "event_log", row })?);
    }
    if items.len() > query.limit {
        return Ok(items.pop().map(|item| item.seq.0));
    }
    Ok(beyond)
}

/// As much of a stretch as one page may look at, and where the rest begins.
fn bounded(
    connection: &Connection,
    order: Order,
    stretch: Stretch,
) -> Result<(Stretch, Option<u64>), StoreError> {
    let rest = match stretch.name_id {
        None if stretch.high - stretch.low < MAX_ROWS_LOOKED_AT => None,
        None => match order {
            Order::Rising => Some(stretch.low + MAX_ROWS_LOOKED_AT),
            Order::Falling => Some(stretch.high - MAX_ROWS_LOOKED_AT),
        },
        Some(name_id) => {
            let sql = format!(
                "SELECT seq FROM {INDEX}.places WHERE name_id = ?1 AND seq BETWEEN ?2 AND ?3
                 ORDER BY seq {} LIMIT 1 OFFSET {MAX_ROWS_LOOKED_AT}",
                order.sql()
            );
            let range = [name_id, sql_int(stretch.low), sql_int(stretch.high)];
            let rest: Option<i64> =
                connection.prepare_cached(&sql)?.query_row(range, |row| row.get(0)).optional()?;
            rest.and_then(|seq| u64::try_from(seq).ok())
        }
    };
    let stretch = match (rest, order) {
        (None, _) => stretch,
        (Some(rest), Order::Rising) => Stretch { high: rest - 1, ..stretch },
        (Some(rest), Order::Falling) => Stretch { low: rest + 1, ..stretch },
    };
    Ok((stretch, rest))
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
