//! The control plane's database: what a reducer might write, rows of the log with everything derived
//! from them.

use std::path::Path;

use fastrand::Rng;
use rusqlite::Connection;
use serde_json::json;
use wavegate_control_plane::core::{
    DispatchRow, HostRolloutRow, HostSeenRow, LogRow, PlacementMarks, ProbeFailuresRow,
    QuarantineRow, ReleaseRow, RolloutRow, WaveRow, Write,
};
use wavegate_control_plane::store::check::check;
use wavegate_control_plane::store::{DATABASE_FILE, Store};
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::ids::WaveIndex;
use wavegate_proto::ids::{Attempt, ClosureId, HostName, LogSeq, RolloutId, Serial, Sha256Hash};
use wavegate_proto::record::HostRecord;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{QuarantineDocument, QuarantineSource, RolloutState};
use wavegate_state_machine::host::JournalBook;

use super::trial::{Subject, tables_except};
use crate::release_kit::{closure, host_name};

const HOSTS: usize = 4;

/// The last row of the log, and the last rollout.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batches {
    seq: u64,
    rollouts: u64,
}

impl Subject for Store {
    const FILE: &'static str = DATABASE_FILE;
    type Batch = Vec<Write>;
    type Batches = Batches;

    fn open(folder: &Path) -> Result<(Self, String), String> {
        let path = folder.join(DATABASE_FILE);
        let (store, stored) = Self::open(&path, at(0)).map_err(|error| error.to_string())?;
        Ok((store, stored.cp_epoch.to_string()))
    }

    fn next(batches: &mut Batches, rng: &mut Rng) -> Vec<Write> {
        (0..rng.u8(1..4)).flat_map(|_| batches.fact(rng)).collect()
    }

    fn commit(&mut self, batch: &Vec<Write>) -> Result<(), String> {
        self.commit(batch.clone()).map_err(|error| error.to_string())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        Self::checkpoint(self).map_err(|error| error.to_string())
    }

    /// The same that `wavegate-cp check` runs: SQLite's checks, references to the log, its chain.
    fn check(folder: &Path) -> Result<Vec<String>, String> {
        check(&folder.join(DATABASE_FILE))
            .map(|report| report.findings)
            .map_err(|error| error.to_string())
    }

    /// The end of the log stands for all of it: its chain covers every row, which the check has verified.
    fn queries(connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut queries = tables_except(connection, &["event_log", "meta"])?;
        queries.push("SELECT seq, hex(chain) FROM event_log ORDER BY seq DESC LIMIT 1".to_owned());
        Ok(queries)
    }
}

impl Batches {
    /// One row of the log, and rows that name it.
    fn fact(&mut self, rng: &mut Rng) -> Vec<Write> {
        self.seq += 1;
        let log_seq = LogSeq(self.seq);
        let host = host_name(rng.usize(1..=HOSTS));
        let opens = self.rollouts == 0 || rng.u8(..8) == 0;
        self.rollouts += u64::from(opens);
        let order = if opens { self.rollouts } else { rng.u64(1..=self.rollouts) };
        let rollout_id: RolloutId = format!("stable@r{order}").parse().unwrap();
        let mut writes = vec![Write::Log(LogRow {
            seq: log_seq,
            at: at(self.seq),
            host: Some(host.clone()),
            rollout_id: Some(rollout_id.clone()),
            kind: "converged",
            actor: format!("host/{host}"),
            synthetic: rng.bool(),
            payload: json!({ "text": "x".repeat(rng.usize(1..600)) }),
        })];
        if opens || rng.u8(..4) == 0 {
            writes.push(Write::Rollout(rollout(&rollout_id, order, log_seq)));
        }
        if rng.u8(..4) > 0 {
            writes.push(Write::HostRollout(Box::new(placement(rng, &rollout_id, &host, log_seq))));
        }
        writes.extend(beside(rng, &rollout_id, &host, log_seq));
        writes
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000 + i64::try_from(secs).unwrap() * 1000)
}

fn target(rng: &mut Rng) -> ClosureId {
    closure(["one", "two", "three"][rng.usize(..3)])
}

fn rollout(rollout_id: &RolloutId, order: u64, log_seq: LogSeq) -> RolloutRow {
    RolloutRow {
        rollout_id: rollout_id.clone(),
        channel: rollout_id.channel.clone(),
        reference: rollout_id.reference.clone(),
        order,
        serial: Serial(order),
        content_id: Sha256Hash::of(rollout_id.to_string().as_bytes()),
        header: format!("{{\"rollout\":\"{rollout_id}\"}}").into_bytes(),
        signatures: Vec::new(),
        state: RolloutState::Active,
        halt: None,
        frozen: false,
        current_wave: WaveIndex(0),
        opened_at: at(order),
        finished_at: None,
        superseded_by: None,
        log_seq,
    }
}

fn placement(
    rng: &mut Rng,
    rollout_id: &RolloutId,
    host: &HostName,
    log_seq: LogSeq,
) -> HostRolloutRow {
    let (host, wave, closure) = (host.clone(), WaveIndex(0), target(rng));
    HostRolloutRow {
        entry: HostEntry {
            after: Vec::new(),
            budgets: Vec::new(),
            checks: None,
            closure: closure.clone(),
            host: host.clone(),
            wave,
        },
        record: HostRecord::pending(rollout_id.clone(), host, wave, closure, at(log_seq.0)),
        journal: JournalBook::default(),
        marks: PlacementMarks { issued: Attempt(rng.u32(1..9)), ..PlacementMarks::default() },
        log_seq,
    }
}

/// One of the other kinds of rows.
fn beside(
    rng: &mut Rng,
    rollout_id: &RolloutId,
    host: &HostName,
    log_seq: LogSeq,
) -> Option<Write> {
    let (rollout_id, host) = (rollout_id.clone(), host.clone());
    Some(match rng.u8(..9) {
        0 => Write::Wave(WaveRow {
            rollout_id,
            wave: WaveIndex(0),
            started_at: at(log_seq.0),
            log_seq,
        }),
        1 => Write::HostRolloutDropped { rollout_id, host },
        2 => {
            let failing = ["http", "tcp"].iter().take(rng.usize(..3));
            let failing =
                failing.map(|name| (name.parse().unwrap(), at(log_seq.0), None)).collect();
            Write::ProbeFailures(ProbeFailuresRow { rollout_id, host, failing, log_seq })
        }
        3 => {
            let document = QuarantineDocument {
                channel: rollout_id.channel.clone(),
                closure: target(rng),
                since: at(log_seq.0),
                host,
                rollout_id,
                attempt: Attempt(1),
                reason: "probe".to_owned(),
                source: QuarantineSource::Rollback,
            };
            Write::Quarantine(QuarantineRow { document, log_seq })
        }
        4 => Write::Dispatch(DispatchRow {
            rollout_id,
            host,
            attempt: Attempt(rng.u32(1..9)),
            no_change: rng.bool(),
            issued_at: at(log_seq.0),
            expires_at: at(log_seq.0 + 60),
            log_seq,
        }),
        5 => Write::DispatchClosed { rollout_id, host },
        6 => Write::Release(ReleaseRow {
            serial: Serial(log_seq.0),
            fleet_sha256: Sha256Hash::of(b"fleet"),
            signed_at: at(0),
            adopted_at: at(log_seq.0),
            opened: vec![rollout_id],
            unchanged: Vec::new(),
            log_seq,
        }),
        7 => Write::HostsSeen(vec![HostSeenRow {
            host,
            last_seen_at: at(log_seq.0),
            agent_version: None,
            current_closure: Some(target(rng)),
        }]),
        _ => return None,
    })
}
