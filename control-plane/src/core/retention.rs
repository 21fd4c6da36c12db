//! Rollouts that have been over for long: their records go, then their rows of the log. What a ref is
//! bound to stays for ever (G22), and so does what the chain needs to hold together.
//!
//! Not here: finding the rows and removing them (see [`crate::workers::compaction`], [`crate::store`]).

use wavegate_proto::ids::{LogSeq, RolloutId};
use wavegate_proto::log_chain::{COMPACTED, Compacted, RemovedRun};
use wavegate_proto::time::Now;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::rollout::Rollout;

use super::log::Fact;
use super::output::refuse;
use super::payload::{RolloutPruned, logged};
use super::rows::{PRUNED, PrunedRow, RemovedRow, Write};
use super::{Answer, Core, Token};

/// How often it is looked for rollouts that have been over for long enough, in seconds.
const LOOK_EVERY_SECS: u64 = 3600;

impl Core {
    /// Prunes one rollout that has been over for long enough, if there is one: a large one takes a
    /// while to delete, and others wait for the commit.
    pub(super) fn prune_finished(&mut self, now: Now) {
        let waits = |looked_at| now.mono.secs_since(looked_at) < LOOK_EVERY_SECS;
        if self.fleet.release.is_none() || self.looked_for_pruning.is_some_and(waits) {
            return;
        }
        let over = self.fleet.rollouts.values().find(|rollout| self.may_be_pruned(rollout, now));
        match over.map(|rollout| rollout.id.clone()) {
            Some(id) => self.prune(now, &id),
            None => self.looked_for_pruning = Some(now.mono),
        }
    }

    /// It was over long ago, nothing runs in it, and no host of the fleet stands where it left it: what
    /// a host runs is known from the last rollout that touched it.
    fn may_be_pruned(&self, rollout: &Rollout, now: Now) -> bool {
        let retain_secs = i64::try_from(self.config.retain_secs).unwrap_or(i64::MAX);
        let over = rollout.finished_at.filter(|_| rollout.state == RolloutState::Superseded);
        over.is_some_and(|over| now.wall.secs_since(over) >= retain_secs)
            && rollout.placements.iter().all(|(host, placement)| {
                let member = self.fleet.hosts.get(host).is_some_and(|h| h.member.is_some());
                let stands_here =
                    self.fleet.newest_started(host).is_some_and(|(last, _)| last.id == rollout.id);
                !placement.is_in_flight() && placement.lease.is_none() && !(member && stands_here)
            })
    }

    fn prune(&mut self, now: Now, id: &RolloutId) {
        let Some(rollout) = self.fleet.rollouts.get(id) else { return };
        let (from, content_id) = (rollout.state, rollout.manifest.content_id);
        let pruned = RolloutPruned { from, content_id };
        let fact = Fact::own(now, PRUNED, logged(&pruned));
        let log_seq = self.note(fact.about(id));
        self.forget_rollout(now, id, &pruned, log_seq);
    }

    /// Takes a rollout out of everything but the memory of its ref.
    pub(super) fn forget_rollout(
        &mut self,
        now: Now,
        id: &RolloutId,
        pruned: &RolloutPruned,
        log_seq: LogSeq,
    ) {
        self.fleet.remove_rollout(id);
        self.pruned.insert(id.clone(), pruned.content_id);
        self.retries.retain(|(_, place)| place.0 != *id);
        self.touched.remove(id);
        for host in self.fleet.hosts.values_mut() {
            host.replays.remove(id);
        }
        self.write(Write::RolloutPruned(PrunedRow {
            rollout_id: id.clone(),
            content_id: pruned.content_id,
            pruned_at: now.wall,
            log_seq,
        }));
    }

    /// Refuses what is about a rollout that has been pruned.
    pub(super) fn expect_not_pruned(&self, id: &RolloutId) -> Result<(), Box<Problem>> {
        if self.pruned.contains_key(id) {
            let detail = format!("{id} was over long ago and has been removed");
            return Err(refuse(ProblemCode::RolloutPruned, detail));
        }
        Ok(())
    }

    /// Rows of pruned rollouts go; the row noted here accounts for them.
    pub(super) fn compact(&mut self, now: Now, runs: Vec<RemovedRun>, reply: Token) {
        if !runs.is_empty() {
            let compacted = Compacted { runs };
            let log_seq = self.note(Fact::own(now, COMPACTED, logged(&compacted)));
            self.remove_runs(compacted, log_seq);
        }
        self.reply(reply, Answer::Compacted);
    }

    pub(super) fn remove_runs(&mut self, compacted: Compacted, log_seq: LogSeq) {
        for run in compacted.runs {
            self.write(Write::LogRemoved(RemovedRow { run, log_seq }));
        }
    }
}
