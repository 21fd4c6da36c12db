//! The control plane's disk: what has been committed. Batches are applied whole or not at all.

use std::collections::BTreeMap;

use wavegate_control_plane::core::{
    DispatchRow, HostRolloutRow, LogEnd, LogRow, QuarantineRow, ReleaseRow, RolloutRow, Stored,
    Write,
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
    rollouts: BTreeMap<RolloutId, RolloutRow>,
    pub host_rollouts: BTreeMap<(RolloutId, HostName), HostRolloutRow>,
    quarantines: BTreeMap<(ChannelName, ClosureId), QuarantineRow>,
    dispatches: BTreeMap<(RolloutId, HostName), DispatchRow>,
    release: Option<ReleaseRow>,
}

impl Disk {
    pub fn commit(&mut self, batch: Vec<Write>) {
        for write in batch {
            self.apply(write);
        }
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Log(row) => {
                let expected = self.log.last().map_or(LogSeq(1), |last| last.seq.next());
                assert_eq!(row.seq, expected, "the log has no gaps");
                let before = self.log_end().chain;
                self.chain.push(Sha256Hash::of(format!("{before}{row:?}").as_bytes()));
                self.log.push(row);
            }
            Write::Rollout(row) => {
                self.rollouts.insert(row.rollout_id.clone(), row);
            }
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
            Write::Dispatch(row) => {
                self.dispatches.insert((row.rollout_id.clone(), row.host.clone()), row);
            }
            Write::DispatchClosed { rollout_id, host } => {
                self.dispatches.remove(&(rollout_id, host));
            }
            Write::Epoch(epoch) => self.epoch = Some(epoch),
            Write::Release(row) => self.release = Some(row),
            Write::Wave(_) | Write::ProbeFailures(_) | Write::HostsSeen(_) => {}
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
            dispatches: self.dispatches.values().cloned().collect(),
            hosts_seen: Vec::new(),
        }
    }
}
