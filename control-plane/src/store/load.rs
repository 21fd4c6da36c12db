//! Reading everything back at a start (E2: the quarantines too).
//!
//! Not here: what is made of it (see [`crate::core::Core::restore`]).

use rusqlite::{Connection, OptionalExtension as _};
use wavegate_proto::ids::{
    Attempt, CpEpoch, LogSeq, RolloutId, Serial, Sha256Hash, WaveIndex, share,
};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::RolloutState;

use super::error::StoreError;
use super::row::Columns;
use super::schema::Opened;
use crate::core::{
    DispatchRow, EnrollmentRow, HostRolloutRow, HostSeenRow, LogEnd, MarkContent, MarkRow,
    ProviderRow, ProviderSyncedRow, PrunedRow, QuarantineRow, ReleaseRow, RolloutRow, Stored,
};

/// Everything that is read back, and the end of the log.
pub(super) fn stored(
    connection: &Connection,
    cp_epoch: CpEpoch,
    opened: Opened,
) -> Result<(Stored, LogEnd), StoreError> {
    let tail = tail(connection)?;
    let stored = Stored {
        cp_epoch,
        epoch_since: epoch_since(connection)?,
        new_database: opened == Opened::New,
        log_end: tail,
        release: rows(connection, "releases", RELEASE, release)?.pop(),
        rollouts: rows(connection, "rollouts", ROLLOUTS, rollout)?,
        host_rollouts: host_rollouts(connection)?,
        quarantines: rows(connection, "quarantines", QUARANTINES, quarantine)?,
        marks: rows(connection, "marks", MARKS, mark)?,
        marks_version: marks_version(connection)?,
        dispatches: rows(connection, "dispatches", DISPATCHES, dispatch)?,
        enrollments: rows(connection, "enrollments", ENROLLMENTS, enrollment)?,
        providers: rows(connection, "providers", PROVIDERS, provider)?,
        provider_syncs: rows(connection, "provider_syncs", PROVIDER_SYNCS, provider_synced)?,
        pruned: rows(connection, "pruned_rollouts", PRUNED_ROLLOUTS, pruned)?,
        hosts_seen: rows(connection, "hosts", HOSTS, host_seen)?,
    };
    Ok((stored, tail))
}

/// The end of the log.
pub(super) fn tail(connection: &Connection) -> Result<LogEnd, StoreError> {
    let last = connection
        .query_row("SELECT seq, chain FROM event_log ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
        })
        .optional()?;
    let Some((seq, chain)) = last else {
        return Ok(LogEnd { seq: LogSeq(0), chain: Sha256Hash::default() });
    };
    let seq = u64::try_from(seq).map_err(|e| StoreError::malformed("event_log", e))?;
    Ok(LogEnd { seq: LogSeq(seq), chain: Sha256Hash(chain) })
}

fn rows<T>(
    connection: &Connection,
    table: &'static str,
    sql: &str,
    mut read: impl FnMut(&Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(read(&Columns { table, row })?);
    }
    Ok(rows)
}

const RELEASE: &str =
    "SELECT serial, fleet_sha256, signed_at, adopted_at, opened, unchanged, log_seq
    FROM releases ORDER BY log_seq DESC LIMIT 1";

fn release(columns: &Columns<'_>) -> Result<ReleaseRow, StoreError> {
    Ok(ReleaseRow {
        serial: Serial(columns.number(0)?),
        fleet_sha256: columns.hash(1)?,
        signed_at: columns.text(2)?,
        adopted_at: columns.text(3)?,
        opened: columns.json(4)?,
        unchanged: columns.json(5)?,
        log_seq: columns.log_seq(6)?,
    })
}

const ROLLOUTS: &str = "SELECT rollout_id, opened_order, serial, content_id, header, signatures,
    state, halt, frozen, current_wave, opened_at, finished_at, superseded_by, log_seq
    FROM rollouts ORDER BY opened_order, rollout_id";

fn rollout(columns: &Columns<'_>) -> Result<RolloutRow, StoreError> {
    let rollout_id: RolloutId = columns.text(0)?;
    let state: String = columns.text(6)?;
    let known = RolloutState::ALL.into_iter().find(|known| known.as_str() == state);
    Ok(RolloutRow {
        channel: rollout_id.channel.clone(),
        reference: rollout_id.reference.clone(),
        rollout_id,
        order: columns.number(1)?,
        serial: Serial(columns.number(2)?),
        content_id: columns.hash(3)?,
        header: columns.row.get(4)?,
        signatures: columns.json(5)?,
        state: known
            .ok_or_else(|| StoreError::malformed("rollouts", format!("state {state:?}")))?,
        halt: columns.optional_json(7)?,
        frozen: columns.row.get(8)?,
        current_wave: WaveIndex(columns.number(9)?),
        opened_at: columns.text(10)?,
        finished_at: columns.optional_text(11)?,
        superseded_by: columns.optional_text(12)?,
        log_seq: columns.log_seq(13)?,
    })
}

const HOST_ROLLOUTS: &str = "SELECT entry, record, journal, marks, log_seq
    FROM host_rollouts ORDER BY rollout_id, host";

/// A row for each host of the fleet: the names that a row repeats, or the one before has, are kept once.
fn host_rollouts(connection: &Connection) -> Result<Vec<HostRolloutRow>, StoreError> {
    let mut before: Option<RolloutId> = None;
    rows(connection, "host_rollouts", HOST_ROLLOUTS, |columns| {
        let mut row = host_rollout(columns)?;
        let record = &mut row.record;
        if let Some(before) = &before {
            share(&mut record.rollout_id, before);
        }
        before = Some(record.rollout_id.clone());
        share(&mut record.channel, &record.rollout_id.channel);
        share(&mut record.host, &row.entry.host);
        Ok(row)
    })
}

fn host_rollout(columns: &Columns<'_>) -> Result<HostRolloutRow, StoreError> {
    Ok(HostRolloutRow {
        entry: columns.json(0)?,
        record: columns.json(1)?,
        journal: columns.json(2)?,
        marks: columns.json(3)?,
        log_seq: columns.log_seq(4)?,
    })
}

const QUARANTINES: &str = "SELECT document, log_seq FROM quarantines ORDER BY channel, closure";

fn quarantine(columns: &Columns<'_>) -> Result<QuarantineRow, StoreError> {
    Ok(QuarantineRow { document: columns.json(0)?, log_seq: columns.log_seq(1)? })
}

/// Highest of what was noted and what the marks say: a database made from its log has only these.
fn marks_version(connection: &Connection) -> Result<u64, StoreError> {
    let version: i64 = connection.query_row(
        "SELECT max(ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'marks_version'), 0),
                    ifnull((SELECT max(version) FROM marks), 0))",
        [],
        |row| row.get(0),
    )?;
    u64::try_from(version).map_err(|e| StoreError::malformed("meta", e))
}

/// The database's own epoch began when it was made.
fn epoch_since(connection: &Connection) -> Result<Timestamp, StoreError> {
    let since: String = connection.query_row(
        "SELECT value FROM meta WHERE key IN ('epoch_since', 'created_at')
         ORDER BY key DESC LIMIT 1",
        [],
        |row| row.get(0),
    )?;
    since.parse().map_err(|e| StoreError::malformed("meta", e))
}

const MARKS: &str =
    "SELECT kind, subject, document, version, log_seq FROM marks ORDER BY kind, subject";

fn mark(columns: &Columns<'_>) -> Result<MarkRow, StoreError> {
    let (kind, subject): (String, String) = (columns.row.get(0)?, columns.row.get(1)?);
    let malformed = |reason: String| StoreError::malformed("marks", reason);
    let content = match kind.as_str() {
        MarkContent::ROLLOUT => MarkContent::Rollout(columns.text(1)?, columns.optional_json(2)?),
        MarkContent::APPROVAL => {
            let (id, wave) = subject
                .split_once(' ')
                .and_then(|(id, wave)| Some((id.parse().ok()?, wave.parse().ok()?)))
                .ok_or_else(|| malformed(format!("subject {subject:?}")))?;
            MarkContent::Approval(id, WaveIndex(wave), columns.json(2)?)
        }
        MarkContent::HOLD => MarkContent::Hold(columns.text(1)?, columns.optional_json(2)?),
        _ => return Err(malformed(format!("kind {kind:?}"))),
    };
    Ok(MarkRow { content, version: columns.number(3)?, log_seq: columns.log_seq(4)? })
}

const DISPATCHES: &str =
    "SELECT rollout_id, host, attempt, no_change, issued_at, expires_at, log_seq
    FROM dispatches ORDER BY rollout_id, host";

fn dispatch(columns: &Columns<'_>) -> Result<DispatchRow, StoreError> {
    Ok(DispatchRow {
        rollout_id: columns.text(0)?,
        host: columns.text(1)?,
        attempt: Attempt(columns.number(2)?),
        no_change: columns.row.get(3)?,
        issued_at: columns.text(4)?,
        expires_at: columns.text(5)?,
        log_seq: columns.log_seq(6)?,
    })
}

const ENROLLMENTS: &str = "SELECT token, host, key, expires_at, at, log_seq
    FROM enrollments ORDER BY token, host";

fn enrollment(columns: &Columns<'_>) -> Result<EnrollmentRow, StoreError> {
    Ok(EnrollmentRow {
        token: columns.text(0)?,
        host: columns.text(1)?,
        key: columns.text(2)?,
        expires_at: columns.text(3)?,
        at: columns.text(4)?,
        log_seq: columns.log_seq(5)?,
    })
}

const PROVIDERS: &str = "SELECT host, provider_id, provider_state, actor, since, log_seq
    FROM providers ORDER BY host";

fn provider(columns: &Columns<'_>) -> Result<ProviderRow, StoreError> {
    Ok(ProviderRow {
        host: columns.text(0)?,
        provider_id: columns.optional_text(1)?,
        provider_state: columns.text(2)?,
        actor: columns.row.get(3)?,
        since: columns.text(4)?,
        log_seq: columns.log_seq(5)?,
    })
}

const PROVIDER_SYNCS: &str = "SELECT host, last_sync FROM provider_syncs ORDER BY host";

fn provider_synced(columns: &Columns<'_>) -> Result<ProviderSyncedRow, StoreError> {
    Ok(ProviderSyncedRow { host: columns.text(0)?, last_sync: columns.text(1)? })
}

const PRUNED_ROLLOUTS: &str =
    "SELECT rollout_id, content_id, pruned_at, log_seq FROM pruned_rollouts ORDER BY rollout_id";

fn pruned(columns: &Columns<'_>) -> Result<PrunedRow, StoreError> {
    Ok(PrunedRow {
        rollout_id: columns.text(0)?,
        content_id: columns.hash(1)?,
        pruned_at: columns.text(2)?,
        log_seq: columns.log_seq(3)?,
    })
}

const HOSTS: &str =
    "SELECT host, last_seen_at, agent_version, current_closure FROM hosts ORDER BY host";

fn host_seen(columns: &Columns<'_>) -> Result<HostSeenRow, StoreError> {
    Ok(HostSeenRow {
        host: columns.text(0)?,
        last_seen_at: columns.text(1)?,
        agent_version: columns.row.get(2)?,
        current_closure: columns.optional_text(3)?,
    })
}
