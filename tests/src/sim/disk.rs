//! What the control plane has committed. A batch is applied whole, and each derived row must name a
//! row of the log that was written with it (D2). What is derived can be folded again from the log, and
//! comes out row for row the same.
//!
//! Not here: SQLite (see the store's own tests).

use std::collections::BTreeMap;
use std::sync::Arc;

use wavegate_control_plane::core::rebuild::{Artifacts, PRUNED, Rebuild};
use wavegate_control_plane::core::{
    CoreConfig, DispatchRow, EchoKey, EnrollmentRow, HostRolloutRow, HostSeenRow, KEPT_KINDS,
    LogEnd, LogRow, MarkContent, MarkRow, ProbeFailuresRow, ProviderRow, ProviderSyncedRow,
    PrunedRow, QuarantineRow, ReleaseRow, RemovedRow, RolloutRow, Stored, WaveRow, Write,
};
use wavegate_proto::artifact::release::Release;
use wavegate_proto::ids::{
    ChannelName, ClosureId, CpEpoch, HostName, LogSeq, RolloutId, Sha256Hash, TokenId, WaveIndex,
};
use wavegate_proto::log_chain::{LogWalk, RemovedRun};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::EventItem;

/// What has been committed.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub epoch: Option<CpEpoch>,
    epoch_since: Timestamp,
    enrollments: BTreeMap<(TokenId, HostName), EnrollmentRow>,
    providers: BTreeMap<HostName, ProviderRow>,
    provider_syncs: BTreeMap<HostName, ProviderSyncedRow>,
    pub log: Vec<Arc<LogRow>>,
    /// The chain up to each row.
    chain: Vec<Sha256Hash>,
    pub probe_failures: BTreeMap<(RolloutId, HostName), ProbeFailuresRow>,
    pub dispatches: BTreeMap<(RolloutId, HostName), DispatchRow>,
    rollouts: BTreeMap<RolloutId, RolloutRow>,
    pub host_rollouts: BTreeMap<(RolloutId, HostName), HostRolloutRow>,
    quarantines: BTreeMap<(ChannelName, ClosureId), QuarantineRow>,
    marks: BTreeMap<(&'static str, String), MarkRow>,
    marks_version: u64,
    hosts_seen: BTreeMap<HostName, HostSeenRow>,
    release: Option<ReleaseRow>,
    waves: BTreeMap<(RolloutId, WaveIndex), WaveRow>,
    pruned: BTreeMap<RolloutId, PrunedRow>,
    removed: BTreeMap<LogSeq, RemovedRow>,
    /// The files of adopted releases, beside the database.
    artifacts: BTreeMap<Sha256Hash, Arc<[u8]>>,
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
                self.chain.push(row.clone().chained(&before).chain);
                self.log.push(Arc::new(row));
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
            Write::MarksVersion(version) => self.marks_version = version,
            Write::Dispatch(row) => {
                self.dispatches.insert((row.rollout_id.clone(), row.host.clone()), row);
            }
            Write::DispatchClosed { rollout_id, host } => {
                self.dispatches.remove(&(rollout_id, host));
            }
            Write::RolloutPruned(row) => self.prune(row),
            Write::LogRemoved(row) => self.remove_from_log(row),
            Write::Epoch { epoch, since } => {
                if self.epoch.replace(epoch).is_none_or(|before| before != epoch) {
                    self.epoch_since = since;
                }
            }
            Write::Enrollment(row) => {
                self.enrollments.insert((row.token.clone(), row.host.clone()), row);
            }
            Write::Provider(row) => drop(self.providers.insert(row.host.clone(), row)),
            Write::ProviderSynced(row) => {
                self.provider_syncs.insert(row.host.clone(), row);
            }
            Write::Release(row) => self.release = Some(row),
            Write::ProbeFailures(row) => {
                let place = (row.rollout_id.clone(), row.host.clone());
                if row.failing.is_empty() {
                    self.probe_failures.remove(&place);
                } else {
                    self.probe_failures.insert(place, row);
                }
            }
            Write::HostsSeen(rows) => {
                self.hosts_seen.extend(rows.into_iter().map(|row| (row.host.clone(), row)));
            }
            Write::Wave(row) => drop(self.waves.insert((row.rollout_id.clone(), row.wave), row)),
        }
    }

    /// Keeps the files of a release that is about to be adopted.
    pub fn keep(&mut self, release: &Release) {
        for (_, bytes) in release.named_files() {
            self.artifacts.entry(Sha256Hash::of(&bytes)).or_insert_with(|| bytes.into());
        }
    }

    /// Folds the log into empty tables, which must come out as they stand here.
    ///
    /// # Panics
    /// When they do not.
    pub fn check_rebuild(&self) {
        let config = CoreConfig {
            fleet: "demo".parse().unwrap(),
            heartbeat_secs: 30,
            version: "rebuild".to_owned(),
            retain_secs: u64::MAX,
            next_epoch: CpEpoch(uuid::Uuid::nil()),
            echo_key: EchoKey([0; 32]),
        };
        let is_pruned = |row: &&Arc<LogRow>| row.kind == PRUNED;
        let pruned = self.log.iter().filter(is_pruned).filter_map(|row| row.rollout_id.clone());
        let mut rebuild = Rebuild::new(config, self, pruned.collect());
        let (mut again, mut walk) = (Self::default(), LogWalk::default());
        walk.announce(self.removed.values().map(|row| row.run));
        for (row, chain) in self.log.iter().zip(&self.chain) {
            let row = EventItem { chain: *chain, ..LogRow::clone(row).chained(chain) };
            walk.take(&row).unwrap_or_else(|finding| panic!("{finding}"));
            let derived = rebuild.fold(&row).unwrap_or_else(|error| panic!("{error}: {row:#?}"));
            derived.into_iter().for_each(|write| again.apply(write));
        }
        walk.finish().unwrap_or_else(|finding| panic!("{finding}"));
        assert_eq!(again.pruned, self.pruned, "pruned_rollouts");
        assert_eq!(again.removed, self.removed, "log_removed");
        assert_eq!(again.rollouts, self.rollouts, "rollouts");
        assert_eq!(again.waves, self.waves, "waves");
        for (place, row) in &self.host_rollouts {
            assert_eq!(again.host_rollouts.get(place), Some(row), "host_rollouts");
        }
        assert_eq!(again.host_rollouts.len(), self.host_rollouts.len(), "host_rollouts");
        assert_eq!(again.quarantines, self.quarantines, "quarantines");
        assert_eq!(again.marks, self.marks, "marks");
        assert_eq!(again.probe_failures, self.probe_failures, "probe_failures");
        assert_eq!(again.dispatches, self.dispatches, "dispatches");
        assert_eq!(again.release, self.release, "releases");
        assert_eq!(again.enrollments, self.enrollments, "enrollments");
        assert_eq!(again.providers, self.providers, "providers");
        assert_eq!(again.epoch, self.epoch, "the epoch");
    }

    pub fn log_end(&self) -> LogEnd {
        let seq = self.log.last().map_or(LogSeq(0), |row| row.seq);
        LogEnd { seq, chain: self.chain.last().copied().unwrap_or_default() }
    }

    /// Whether the log has this row with this chain.
    pub fn has(&self, end: LogEnd) -> bool {
        match self.log.binary_search_by(|row| row.seq.cmp(&end.seq)) {
            Ok(index) => self.chain.get(index) == Some(&end.chain),
            Err(_) => self.removed.range(..=end.seq).next_back().is_some_and(|(_, removed)| {
                let last = removed.run.last;
                end.seq < last || (end.seq == last && end.chain == removed.run.chain)
            }),
        }
    }

    fn prune(&mut self, row: PrunedRow) {
        let id = &row.rollout_id;
        self.rollouts.remove(id);
        self.waves.retain(|(of, _), _| of != id);
        self.host_rollouts.retain(|(of, _), _| of != id);
        self.probe_failures.retain(|(of, _), _| of != id);
        self.dispatches.retain(|(of, _), _| of != id);
        self.marks.retain(|_, mark| match &mark.content {
            MarkContent::Rollout(of, _) | MarkContent::Approval(of, _, _) => of != id,
            MarkContent::Hold(..) => true,
        });
        self.pruned.insert(id.clone(), row);
    }

    fn remove_from_log(&mut self, row: RemovedRow) {
        let goes = |seq: LogSeq| (row.run.first..=row.run.last).contains(&seq);
        let stays: Vec<bool> = self.log.iter().map(|row| !goes(row.seq)).collect();
        let mut stay = stays.iter().copied();
        self.chain.retain(|_| stay.next().unwrap_or(true));
        self.log.retain(|row| !goes(row.seq));
        self.removed.insert(row.run.first, row);
    }

    /// The rows of pruned rollouts that nothing needs, with the chain values of the last of each run.
    pub fn removable(&self) -> Vec<RemovedRun> {
        let mut runs: Vec<RemovedRun> = Vec::new();
        for (row, chain) in self.log.iter().zip(&self.chain) {
            let pruned = row.rollout_id.as_ref().is_some_and(|id| self.pruned.contains_key(id));
            if !pruned || KEPT_KINDS.contains(&row.kind) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.last.next() == row.seq => {
                    (run.last, run.chain) = (row.seq, *chain);
                }
                Some(_) | None => {
                    runs.push(RemovedRun { first: row.seq, last: row.seq, chain: *chain });
                }
            }
        }
        runs
    }

    /// What a start reads back; makes the epoch of a new database.
    pub fn stored(&mut self, fresh: CpEpoch) -> Stored {
        let new_database = self.epoch.is_none();
        let cp_epoch = *self.epoch.get_or_insert(fresh);
        Stored { cp_epoch, new_database, ..self.rows() }
    }

    /// The rows as they stand, as of a database that is not new.
    pub fn rows(&self) -> Stored {
        Stored {
            cp_epoch: self.epoch.unwrap_or(CpEpoch(uuid::Uuid::nil())),
            epoch_since: self.epoch_since,
            new_database: false,
            log_end: self.log_end(),
            release: self.release.clone(),
            rollouts: self.rollouts.values().cloned().collect(),
            host_rollouts: self.host_rollouts.values().cloned().collect(),
            quarantines: self.quarantines.values().cloned().collect(),
            marks: self.marks.values().cloned().collect(),
            marks_version: self.marks_version,
            dispatches: self.dispatches.values().cloned().collect(),
            enrollments: self.enrollments.values().cloned().collect(),
            providers: self.providers.values().cloned().collect(),
            provider_syncs: self.provider_syncs.values().cloned().collect(),
            pruned: self.pruned.values().cloned().collect(),
            hosts_seen: self.hosts_seen.values().cloned().collect(),
        }
    }
}

impl Artifacts for &Disk {
    fn bytes(&self, hash: Sha256Hash) -> Result<Option<Vec<u8>>, String> {
        Ok(self.artifacts.get(&hash).map(|bytes| bytes.to_vec()))
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
        Write::RolloutPruned(row) => Some((row.log_seq, "pruned_rollouts")),
        Write::LogRemoved(row) => Some((row.log_seq, "log_removed")),
        Write::Enrollment(row) => Some((row.log_seq, "enrollments")),
        Write::Provider(row) => Some((row.log_seq, "providers")),
        Write::Log(_)
        | Write::HostRolloutDropped { .. }
        | Write::DispatchClosed { .. }
        | Write::QuarantineCleared { .. }
        | Write::MarksVersion(_)
        | Write::Epoch { .. }
        | Write::ProviderSynced(_)
        | Write::HostsSeen(_) => None,
    }
}
