//! The core as it stood when the rows were written. Leases and back-offs go on with what was left of
//! them, on this process's monotonic clock (G24).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::enroll::MAX_TOKEN_LIFETIME_SECS;
use wavegate_proto::ids::CpEpoch;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_reconciler::fleet::liveness::Liveness;
use wavegate_reconciler::fleet::placement::{Lease, Placement, RetryAt};
use wavegate_reconciler::fleet::recovering::Recovering;
use wavegate_reconciler::fleet::rollout::{Manifest, Rollout};
use wavegate_reconciler::fleet::{Fleet, Quarantine};

use super::checkpoint::LogHistory;
use super::consequences::MAX_BACK_OFF_SECS;
use super::log::Fact;
use super::new_journals::NewJournals;
use super::pace::Pace;
use super::payload::{CpStarted, logged};
use super::rows::{DispatchRow, EnrollmentRow, HostRolloutRow, LogEnd, RolloutRow, Stored};
use super::{Core, CoreConfig, Output};

/// Why the rows do not make a core.
#[derive(Debug, thiserror::Error)]
#[error("the stored header of {rollout_id} cannot be read: {source}")]
pub struct RestoreError {
    rollout_id: wavegate_proto::ids::RolloutId,
    source: serde_json::Error,
}

impl Core {
    /// The core as it stood when `stored` was written, and what is to be written first.
    ///
    /// # Errors
    /// When a stored header cannot be read.
    pub fn restore(
        config: CoreConfig,
        stored: Stored,
        now: Now,
    ) -> Result<(Self, Vec<Output>), RestoreError> {
        let mut core = Self::without_rows(config, stored.cp_epoch, stored.log_end, now);
        core.fleet.recovering = Recovering::at_start(stored.new_database);
        core.epoch_since = stored.epoch_since;
        core.release_row = stored.release;
        let pruned = stored.pruned.into_iter().map(|row| (row.rollout_id, row.content_id));
        core.pruned.extend(pruned);
        // A clock that errs by days must not make a token count twice.
        let counts =
            |row: &EnrollmentRow| row.expires_at.plus_secs(MAX_TOKEN_LIFETIME_SECS) >= now.wall;
        for row in stored.enrollments.into_iter().filter(counts) {
            core.enrollments.entry(row.token).or_default().insert(row.host, row.key);
        }
        for row in stored.rollouts {
            core.restore_rollout(row)?;
        }
        for row in stored.host_rollouts {
            core.restore_placement(now, row);
        }
        core.marks_version = stored.marks_version;
        for row in stored.marks {
            core.restore_mark(now, row);
        }
        core.restore_providers(now, stored.providers, stored.provider_syncs);
        for row in stored.dispatches {
            core.restore_lease(now, &row);
        }
        for row in stored.quarantines {
            let key = (row.document.channel.clone(), row.document.closure.clone());
            let quarantine = Quarantine { document: row.document, log_seq: row.log_seq };
            core.fleet.quarantines.insert(key, quarantine);
        }
        for row in stored.hosts_seen {
            let live = Liveness {
                last_seen_at: Some(row.last_seen_at),
                agent_version: row.agent_version,
                ..Liveness::default()
            };
            core.fleet.host_entry(&row.host, now.mono).liveness = live;
        }
        let started = CpStarted { version: core.config.version.clone(), cp_epoch: core.cp_epoch };
        core.note(Fact::own(now, "cp_started", logged(&started)));
        let outputs = std::mem::take(&mut core.outputs);
        Ok((core, outputs))
    }

    /// A core of which nothing has been read back.
    pub(super) fn without_rows(
        config: CoreConfig,
        cp_epoch: CpEpoch,
        log_end: LogEnd,
        now: Now,
    ) -> Self {
        Self {
            fleet: Fleet::new(config.heartbeat_secs, Recovering::at_start(true)),
            config,
            cp_epoch,
            epoch_since: now.wall,
            enrollments: BTreeMap::new(),
            renewed: BTreeMap::new(),
            last_seq: log_end.seq,
            history: LogHistory::at_start(log_end),
            release: None,
            release_row: None,
            trust_version: None,
            polls: BTreeMap::new(),
            leases: BTreeSet::new(),
            retries: BTreeSet::new(),
            rejections: BTreeMap::new(),
            marks_version: 0,
            restored_marks: BTreeMap::new(),
            gates_open_at: None,
            serials_ahead: BTreeSet::new(),
            new_journals: NewJournals::default(),
            pace: Pace::default(),
            diverged: BTreeSet::new(),
            refusals: BTreeSet::new(),
            pruned: BTreeMap::new(),
            looked_for_pruning: None,
            unflushed: HashSet::new(),
            flushed_at: now.mono,
            touched: BTreeSet::new(),
            verbs_done: Vec::new(),
            outputs: Vec::new(),
        }
    }

    fn restore_rollout(&mut self, row: RolloutRow) -> Result<(), RestoreError> {
        let header: RolloutHeader = serde_json::from_slice(&row.header)
            .map_err(|source| RestoreError { rollout_id: row.rollout_id.clone(), source })?;
        let manifest = Arc::new(Manifest {
            header,
            header_bytes: row.header,
            signatures: row.signatures,
            content_id: row.content_id,
        });
        let mut rollout = Rollout::open(manifest, row.order, row.opened_at);
        rollout.state = row.state;
        rollout.halt = row.halt;
        rollout.frozen = row.frozen;
        rollout.current_wave = row.current_wave;
        rollout.finished_at = row.finished_at;
        rollout.superseded_by = row.superseded_by;
        let (id, open) = (rollout.id.clone(), rollout.superseded_by.is_none());
        self.fleet.add_rollout(rollout);
        if !open {
            self.fleet.retire_budgets(&id);
        }
        Ok(())
    }

    fn restore_placement(&mut self, now: Now, row: HostRolloutRow) {
        let (rollout_id, host) = (row.record.rollout_id.clone(), row.record.host.clone());
        let retry_at = row
            .marks
            .retry_at
            .map(|wall| RetryAt { wall, mono: mono_at(now, wall, MAX_BACK_OFF_SECS) });
        let mut placement = Placement::new(row.entry, row.record);
        placement.journal = row.journal;
        placement.issued = row.marks.issued;
        placement.skip = row.marks.skip;
        placement.skip_by = row.marks.skip_by.map(Box::new);
        placement.skip_version = row.marks.skip_version;
        placement.retried = row.marks.retried;
        placement.forgiven = row.marks.forgiven;
        placement.cleared = row.marks.cleared;
        placement.diverged = row.marks.diverged;
        placement.resources = row.marks.resources;
        placement.entered = now.mono;
        placement.infra_failures = row.marks.infra_failures;
        placement.lost = row.marks.lost;
        placement.retry_at = retry_at;
        self.fleet.host_entry(&host, now.mono);
        self.fleet.add_placement(&rollout_id, &host, placement);
        self.queue_retry(&(rollout_id, host));
    }

    fn restore_lease(&mut self, now: Now, row: &DispatchRow) {
        let length_secs = u64::try_from(row.expires_at.secs_since(row.issued_at)).unwrap_or(0);
        let expires = mono_at(now, row.expires_at, length_secs);
        let lease = Lease {
            attempt: row.attempt,
            no_change: row.no_change,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            expires,
        };
        self.fleet.change(&row.rollout_id, &row.host, |placement| placement.lease = Some(lease));
        self.leases.insert((expires, (row.rollout_id.clone(), row.host.clone())));
    }
}

/// The monotonic reading at which the wall clock will show `at`, at most `limit_secs` from now: a wall
/// clock that was set back must not stretch a lease.
fn mono_at(now: Now, at: Timestamp, limit_secs: u64) -> Mono {
    now.mono_at(at).min(now.mono.plus_secs(limit_secs))
}
