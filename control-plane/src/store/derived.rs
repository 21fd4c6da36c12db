//! The statements that write derived rows.
//!
//! Not here: the log (see [`super::writer`]).

use rusqlite::{Connection, params};
use serde::Serialize;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, ProviderId, RolloutId};

use super::batch::Batch;
use super::error::StoreError;
use super::row::sql_int;
use crate::core::{
    DispatchRow, EnrollmentRow, HostRolloutRow, HostSeenRow, MarkContent, MarkRow,
    ProbeFailuresRow, ProviderRow, ProviderSyncedRow, PrunedRow, QuarantineRow, ReleaseRow,
    RemovedRow, RolloutRow, WaveRow,
};

/// Writes every derived row of the batch.
pub(super) fn write(connection: &Connection, batch: &Batch) -> Result<(), StoreError> {
    batch.rollouts.values().try_for_each(|row| rollout(connection, row))?;
    batch.waves.values().try_for_each(|row| wave(connection, row))?;
    for ((rollout_id, host), row) in &batch.host_rollouts {
        match row {
            Some(row) => host_rollout(connection, row)?,
            None => host_rollout_dropped(connection, rollout_id, host)?,
        }
    }
    batch.probe_failures.values().try_for_each(|row| probe_failures(connection, row))?;
    for ((channel, closure), row) in &batch.quarantines {
        match row {
            Some(row) => quarantine(connection, row)?,
            None => quarantine_cleared(connection, channel, closure)?,
        }
    }
    batch.marks.values().try_for_each(|row| mark(connection, row))?;
    if let Some(version) = batch.marks_version {
        let set = "INSERT INTO meta (key, value) VALUES ('marks_version', ?1)
                   ON CONFLICT (key) DO UPDATE SET value = ?1";
        connection.execute(set, [version.to_string()])?;
    }
    for ((rollout_id, host), row) in &batch.dispatches {
        match row {
            Some(row) => dispatch(connection, row)?,
            None => dispatch_closed(connection, rollout_id, host)?,
        }
    }
    batch.releases.iter().try_for_each(|row| release(connection, row))?;
    batch.enrollments.iter().try_for_each(|row| enrollment(connection, row))?;
    batch.providers.values().try_for_each(|row| provider(connection, row))?;
    batch.provider_syncs.values().try_for_each(|row| provider_synced(connection, row))?;
    if let Some((epoch, since)) = batch.epoch {
        let update = "UPDATE meta SET value = ?1 WHERE key = 'cp_epoch' AND value <> ?1";
        if connection.execute(update, [epoch.to_string()])? > 0 {
            let set = "INSERT INTO meta (key, value) VALUES ('epoch_since', ?1)
                       ON CONFLICT (key) DO UPDATE SET value = ?1";
            connection.execute(set, [since.to_string()])?;
        }
    }
    batch.hosts_seen.values().try_for_each(|row| host_seen(connection, row))?;
    // Last: what was written about a rollout before it was pruned goes with it.
    batch.pruned.iter().try_for_each(|row| pruned(connection, row))?;
    batch.removed.iter().try_for_each(|row| removed(connection, row))
}

fn rollout(connection: &Connection, row: &RolloutRow) -> Result<(), StoreError> {
    let halt = row.halt.as_ref().map(|halt| json("rollouts", halt)).transpose()?;
    connection
        .prepare_cached(
            "INSERT INTO rollouts (rollout_id, opened_order, serial, content_id, header, signatures,
                 state, halt, frozen, current_wave, opened_at, finished_at, superseded_by, log_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (rollout_id) DO UPDATE SET
                 opened_order = ?2, serial = ?3, content_id = ?4, header = ?5, signatures = ?6,
                 state = ?7, halt = ?8, frozen = ?9, current_wave = ?10, opened_at = ?11,
                 finished_at = ?12, superseded_by = ?13, log_seq = ?14",
        )?
        .execute(params![
            row.rollout_id.to_string(),
            sql_int(row.order),
            sql_int(row.serial.0),
            row.content_id.0,
            row.header,
            json("rollouts", &row.signatures)?,
            row.state.as_str(),
            halt,
            row.frozen,
            row.current_wave.0,
            row.opened_at.to_string(),
            row.finished_at.map(|at| at.to_string()),
            row.superseded_by.as_ref().map(ToString::to_string),
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn wave(connection: &Connection, row: &WaveRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO waves (rollout_id, wave, started_at, log_seq) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (rollout_id, wave) DO UPDATE SET started_at = ?3, log_seq = ?4",
        )?
        .execute(params![
            row.rollout_id.to_string(),
            row.wave.0,
            row.started_at.to_string(),
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn host_rollout(connection: &Connection, row: &HostRolloutRow) -> Result<(), StoreError> {
    const TABLE: &str = "host_rollouts";
    connection
        .prepare_cached(
            "INSERT INTO host_rollouts (rollout_id, host, entry, record, journal, marks, log_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (rollout_id, host) DO UPDATE SET
                 entry = ?3, record = ?4, journal = ?5, marks = ?6, log_seq = ?7",
        )?
        .execute(params![
            row.record.rollout_id.to_string(),
            row.record.host.as_str(),
            json(TABLE, &row.entry)?,
            json(TABLE, &row.record)?,
            json(TABLE, &row.journal)?,
            json(TABLE, &row.marks)?,
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn host_rollout_dropped(
    connection: &Connection,
    rollout_id: &RolloutId,
    host: &HostName,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM host_rollouts WHERE rollout_id = ?1 AND host = ?2")?
        .execute(params![rollout_id.to_string(), host.as_str()])?;
    Ok(())
}

fn probe_failures(connection: &Connection, row: &ProbeFailuresRow) -> Result<(), StoreError> {
    let rollout_id = row.rollout_id.to_string();
    connection
        .prepare_cached("DELETE FROM probe_failures WHERE rollout_id = ?1 AND host = ?2")?
        .execute(params![rollout_id, row.host.as_str()])?;
    for (probe, since, reason) in &row.failing {
        connection
            .prepare_cached(
                "INSERT INTO probe_failures
                     (rollout_id, host, probe, failing_since, reason, log_seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                rollout_id,
                row.host.as_str(),
                probe.as_str(),
                since.to_string(),
                reason,
                sql_int(row.log_seq.0),
            ])?;
    }
    Ok(())
}

fn quarantine(connection: &Connection, row: &QuarantineRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO quarantines (channel, closure, document, log_seq) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (channel, closure) DO UPDATE SET document = ?3, log_seq = ?4",
        )?
        .execute(params![
            row.document.channel.as_str(),
            row.document.closure.to_string(),
            json("quarantines", &row.document)?,
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn quarantine_cleared(
    connection: &Connection,
    channel: &ChannelName,
    closure: &ClosureId,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM quarantines WHERE channel = ?1 AND closure = ?2")?
        .execute(params![channel.as_str(), closure.to_string()])?;
    Ok(())
}

fn mark(connection: &Connection, row: &MarkRow) -> Result<(), StoreError> {
    const TABLE: &str = "marks";
    let document = match &row.content {
        MarkContent::Rollout(_, mark) => mark.as_ref().map(|mark| json(TABLE, mark)),
        MarkContent::Approval(_, _, by) => Some(json(TABLE, by)),
        MarkContent::Hold(_, hold) => hold.as_ref().map(|hold| json(TABLE, hold)),
    };
    let (kind, subject) = row.content.key();
    connection
        .prepare_cached(
            "INSERT INTO marks (kind, subject, document, version, log_seq)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (kind, subject) DO UPDATE SET document = ?3, version = ?4, log_seq = ?5",
        )?
        .execute(params![
            kind,
            subject,
            document.transpose()?,
            sql_int(row.version),
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn dispatch(connection: &Connection, row: &DispatchRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO dispatches
                 (rollout_id, host, attempt, no_change, issued_at, expires_at, log_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (rollout_id, host) DO UPDATE SET
                 attempt = ?3, no_change = ?4, issued_at = ?5, expires_at = ?6, log_seq = ?7",
        )?
        .execute(params![
            row.rollout_id.to_string(),
            row.host.as_str(),
            row.attempt.0,
            row.no_change,
            row.issued_at.to_string(),
            row.expires_at.to_string(),
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn dispatch_closed(
    connection: &Connection,
    rollout_id: &RolloutId,
    host: &HostName,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM dispatches WHERE rollout_id = ?1 AND host = ?2")?
        .execute(params![rollout_id.to_string(), host.as_str()])?;
    Ok(())
}

fn release(connection: &Connection, row: &ReleaseRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO releases
                 (log_seq, serial, fleet_sha256, signed_at, adopted_at, opened, unchanged)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            sql_int(row.log_seq.0),
            sql_int(row.serial.0),
            row.fleet_sha256.0,
            row.signed_at.to_string(),
            row.adopted_at.to_string(),
            json("releases", &row.opened)?,
            json("releases", &row.unchanged)?,
        ])?;
    Ok(())
}

/// The tables with rows of a rollout, in an order in which they can go. A new one belongs here.
const OF_ROLLOUT: [&str; 5] =
    ["probe_failures", "dispatches", "host_rollouts", "waves", "rollouts"];

fn pruned(connection: &Connection, row: &PrunedRow) -> Result<(), StoreError> {
    let rollout_id = row.rollout_id.to_string();
    for table in OF_ROLLOUT {
        let delete = format!("DELETE FROM {table} WHERE rollout_id = ?1");
        connection.prepare_cached(&delete)?.execute([&rollout_id])?;
    }
    connection
        .prepare_cached("DELETE FROM marks WHERE subject = ?1 OR subject LIKE ?1 || ' %'")?
        .execute([&rollout_id])?;
    connection
        .prepare_cached(
            "INSERT INTO pruned_rollouts (rollout_id, content_id, pruned_at, log_seq)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            rollout_id,
            row.content_id.0,
            row.pruned_at.to_string(),
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn enrollment(connection: &Connection, row: &EnrollmentRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO enrollments (token, host, key, expires_at, at, log_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            row.token.as_str(),
            row.host.as_str(),
            row.key.as_str(),
            row.expires_at.to_string(),
            row.at.to_string(),
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn provider(connection: &Connection, row: &ProviderRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO providers (host, provider_id, provider_state, actor, since, log_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (host) DO UPDATE SET
                 provider_id = ?2, provider_state = ?3, actor = ?4, since = ?5, log_seq = ?6",
        )?
        .execute(params![
            row.host.as_str(),
            row.provider_id.as_ref().map(ProviderId::as_str),
            row.provider_state.as_str(),
            row.actor,
            row.since.to_string(),
            sql_int(row.log_seq.0),
        ])?;
    Ok(())
}

fn provider_synced(connection: &Connection, row: &ProviderSyncedRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO provider_syncs (host, last_sync) VALUES (?1, ?2)
             ON CONFLICT (host) DO UPDATE SET last_sync = ?2",
        )?
        .execute(params![row.host.as_str(), row.last_sync.to_string()])?;
    Ok(())
}

fn removed(connection: &Connection, row: &RemovedRow) -> Result<(), StoreError> {
    let (first, last) = (sql_int(row.run.first.0), sql_int(row.run.last.0));
    connection
        .prepare_cached("DELETE FROM event_log WHERE seq BETWEEN ?1 AND ?2")?
        .execute([first, last])?;
    connection
        .prepare_cached(
            "INSERT INTO log_removed (first_seq, last_seq, chain, log_seq) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![first, last, row.run.chain.0, sql_int(row.log_seq.0)])?;
    Ok(())
}

fn host_seen(connection: &Connection, row: &HostSeenRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO hosts (host, last_seen_at, agent_version, current_closure)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (host) DO UPDATE SET
                 last_seen_at = ?2, agent_version = ?3, current_closure = ?4",
        )?
        .execute(params![
            row.host.as_str(),
            row.last_seen_at.to_string(),
            row.agent_version,
            row.current_closure.as_ref().map(ToString::to_string),
        ])?;
    Ok(())
}

fn json<T: Serialize>(table: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::malformed(table, error))
}
