//! One batch of writes, put in order: the log first, then each derived row once, as it stands last.
//!
//! Not here: the statements (see `derived`).

use std::collections::BTreeMap;

use wavegate_proto::ids::{ChannelName, ClosureId, CpEpoch, HostName, RolloutId, WaveIndex};
use wavegate_proto::time::Timestamp;

use crate::core::{
    DispatchRow, EnrollmentRow, HostRolloutRow, HostSeenRow, LogRow, MarkRow, ProbeFailuresRow,
    ProviderRow, ProviderSyncedRow, PrunedRow, QuarantineRow, ReleaseRow, RemovedRow, RolloutRow,
    WaveRow, Write,
};

type Place = (RolloutId, HostName);

/// What one transaction writes. A row that is written several times in a batch is written once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) log: Vec<LogRow>,
    pub(super) rollouts: BTreeMap<RolloutId, RolloutRow>,
    pub(super) waves: BTreeMap<(RolloutId, WaveIndex), WaveRow>,
    /// `None`: the place is dropped.
    pub(super) host_rollouts: BTreeMap<Place, Option<Box<HostRolloutRow>>>,
    pub(super) probe_failures: BTreeMap<Place, ProbeFailuresRow>,
    /// `None`: the quarantine is cleared.
    pub(super) quarantines: BTreeMap<(ChannelName, ClosureId), Option<QuarantineRow>>,
    pub(super) marks: BTreeMap<(&'static str, String), MarkRow>,
    pub(super) marks_version: Option<u64>,
    /// `None`: the dispatch is closed.
    pub(super) dispatches: BTreeMap<Place, Option<DispatchRow>>,
    pub(super) releases: Vec<ReleaseRow>,
    pub(super) pruned: Vec<PrunedRow>,
    pub(super) removed: Vec<RemovedRow>,
    pub(super) enrollments: Vec<EnrollmentRow>,
    pub(super) providers: BTreeMap<HostName, ProviderRow>,
    pub(super) provider_syncs: BTreeMap<HostName, ProviderSyncedRow>,
    /// Which, and since when if it is another.
    pub(super) epoch: Option<(CpEpoch, Timestamp)>,
    pub(super) hosts_seen: BTreeMap<HostName, HostSeenRow>,
}

impl Batch {
    pub(super) fn new(writes: Vec<Write>) -> Self {
        let mut batch = Self::default();
        for write in writes {
            batch.add(write);
        }
        batch
    }

    fn add(&mut self, write: Write) {
        match write {
            Write::Log(row) => self.log.push(row),
            Write::Rollout(row) => {
                self.rollouts.insert(row.rollout_id.clone(), row);
            }
            Write::Wave(row) => {
                self.waves.insert((row.rollout_id.clone(), row.wave), row);
            }
            Write::HostRollout(row) => {
                let place = (row.record.rollout_id.clone(), row.record.host.clone());
                self.host_rollouts.insert(place, Some(row));
            }
            Write::HostRolloutDropped { rollout_id, host } => {
                self.host_rollouts.insert((rollout_id, host), None);
            }
            Write::ProbeFailures(row) => {
                self.probe_failures.insert((row.rollout_id.clone(), row.host.clone()), row);
            }
            Write::Quarantine(row) => {
                let key = (row.document.channel.clone(), row.document.closure.clone());
                self.quarantines.insert(key, Some(row));
            }
            Write::QuarantineCleared { channel, closure } => {
                self.quarantines.insert((channel, closure), None);
            }
            Write::Mark(row) => {
                self.marks.insert(row.content.key(), row);
            }
            Write::MarksVersion(version) => self.marks_version = Some(version),
            Write::Dispatch(row) => {
                self.dispatches.insert((row.rollout_id.clone(), row.host.clone()), Some(row));
            }
            Write::DispatchClosed { rollout_id, host } => {
                self.dispatches.insert((rollout_id, host), None);
            }
            Write::Release(row) => self.releases.push(row),
            Write::RolloutPruned(row) => self.pruned.push(row),
            Write::LogRemoved(row) => self.removed.push(row),
            Write::Enrollment(row) => self.enrollments.push(row),
            Write::Provider(row) => {
                self.providers.insert(row.host.clone(), row);
            }
            Write::ProviderSynced(row) => {
                self.provider_syncs.insert(row.host.clone(), row);
            }
            Write::Epoch { epoch, since } => self.epoch = Some((epoch, since)),
            Write::HostsSeen(rows) => {
                self.hosts_seen.extend(rows.into_iter().map(|row| (row.host.clone(), row)));
            }
        }
    }
}
