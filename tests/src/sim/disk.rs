//! What the control plane has committed. A batch is applied whole, and each derived row must name a
//! row of the log that was written with it (D2).
//!
//! Not here: SQLite (see the store's own tests).

use std::collections::BTreeMap;

use wavegate_control_plane::core::{
    DispatchRow, HostRolloutRow, HostSeenRow, LogEnd, LogRow, MarkRow, ProbeFailuresRow,
    QuarantineRow, ReleaseRow, RolloutRow, Stored, Write,
};
use wavegate_proto::ids::{
    ChannelName, ClosureId, CpEpoch, HostName, LogSeq, RolloutId, Sha256Hash,
};

/// What has been committed.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub epoch: Option<CpEpoch>,
    pub log: Vec<LogRow>,
    /// The chain up to each row.
    chain: Vec<Sha256Hash>,
    pub probe_failures: BTreeMap<(RolloutId, HostName), ProbeFailuresRow>,
    pub dispatches: BTreeMap<(RolloutId, HostName), DispatchRow>,
    rollouts: BTreeMap<RolloutId, RolloutRow>,
    pub host_rollouts: BTreeMap<(RolloutId, HostName), HostRolloutRow>,
    quarantines: BTreeMap<(ChannelName, ClosureId), QuarantineRow>,
    marks: BTreeMap<(&'static str, String), MarkRow>,
    hosts_seen: BTreeMap<HostName, HostSeenRow>,
    release: Option<ReleaseRow>,
}

impl Disk {
    pub fn last_seq(&self) -> LogSeq {
        self.log.last().map_or(LogSeq(0), |row| row.seq)
    }

    pub fn commit(&mut self, batch: Vec<Write>) {
        let before = self.last_seq();
        let mut derived = Vec::new();
        for write in batch {
            derived.extend(names_row(&write));
            self.apply(write);
        }
        for (seq, what) in derived {
            let in_batch = seq > before && seq <= self.last_seq();
            assert!(in_batch, "a row of {what} names row {seq} of another transaction");
        }
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Log(row) => {
                assert_eq!(row.seq, self.last_seq().next(), "the log has no gaps");
                let before = self.log_end().chain;
                self.chain.push(Sha256Hash::of(format!("{before}{row:?}").as_bytes()));
                self.log.push(row);
            }
            Write::Rollout(row) => drop(self.rollouts.insert(row.rollout_id.clone(), row)),
            Write::HostRollout(row) => {
                let key = (row.record.rollout_id.clone(), row.record.host.clone());
                self.host_rollouts.insert(key, *row);
            }
            Write::HostRolloutDropped { rollout_id, host } => {
                self.host_rollouts.remove(&(rollout_id, host));
            }
            Write::Quarantine(row) => {
                let key = (row.document.channel.clone(), row.document.closure.clone());
                self.quarantines.insert(key, row);
            }
            Write::QuarantineCleared { channel, closure } => {
                self.quarantines.remove(&(channel, closure));
            }
            Write::Mark(row) => drop(self.marks.insert(row.content.key(), row)),
            Write::Dispatch(row) => {
                self.dispatches.insert((row.rollout_id.clone(), row.host.clone()), row);
            }
            Write::DispatchClosed { rollout_id, host } => {
                self.dispatches.remove(&(rollout_id, host));
            }
            Write::Epoch(epoch) => self.epoch = Some(epoch),
            Write::Release(row) => self.release = Some(row),
            Write::ProbeFailures(row) => {
                self.probe_failures.insert((row.rollout_id.clone(), row.host.clone()), row);
            }
            Write::HostsSeen(rows) => {
                self.hosts_seen.extend(rows.into_iter().map(|row| (row.host.clone(), row)));
            }
            Write::Wave(_) => {}
        }
    }

    pub fn log_end(&self) -> LogEnd {
        let seq = self.log.last().map_or(LogSeq(0), |row| row.seq);
        LogEnd { seq, chain: self.chain.last().copied().unwrap_or_default() }
    }

    /// Whether the log has this row with this chain.
    pub fn has(&self, end: LogEnd) -> bool {
        let before = end.seq.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        before.and_then(|index| self.chain.get(index)) == Some(&end.chain)
    }

    /// What a start reads back; makes the epoch of a new database.
    pub fn stored(&mut self, fresh: CpEpoch) -> Stored {
        let new_database = self.epoch.is_none();
        Stored {
            cp_epoch: *self.epoch.get_or_insert(fresh),
            new_database,
            log_end: self.log_end(),
            release: self.release.clone(),
            rollouts: self.rollouts.values().cloned().collect(),
            host_rollouts: self.host_rollouts.values().cloned().collect(),
            quarantines: self.quarantines.values().cloned().collect(),
            marks: self.marks.values().cloned().collect(),
            dispatches: self.dispatches.values().cloned().collect(),
            hosts_seen: self.hosts_seen.values().cloned().collect(),
        }
    }
}

fn names_row(write: &Write) -> Option<(LogSeq, &'static str)> {
    match write {
        Write::Rollout(row) => Some((row.log_seq, "rollouts")),
        Write::Wave(row) => Some((row.log_seq, "waves")),
        Write::HostRollout(row) => Some((row.log_seq, "host_rollouts")),
        Write::ProbeFailures(row) => Some((row.log_seq, "probe_failures")),
        Write::Quarantine(row) => Some((row.log_seq, "quarantines")),
        Write::Mark(row) => Some((row.log_seq, "marks")),
        Write::Dispatch(row) => Some((row.log_seq, "dispatches")),
        Write::Release(row) => Some((row.log_seq, "releases")),
        Write::Log(_)
        | Write::HostRolloutDropped { .. }
        | Write::DispatchClosed { .. }
        | Write::QuarantineCleared { .. }
        | Write::Epoch(_)
        | Write::HostsSeen(_) => None,
    }
}
