//! Verbs about a whole rollout: pause, resume, abort, approve.
//!
//! Not here: what the marks hold (see the gates `rollout` and `approval` of `wavegate-reconciler`).

use wavegate_proto::ids::{ClosureId, HostName, LogSeq, RolloutId, WaveIndex};
use wavegate_proto::wire::operator::{Halt, RolloutMark, RolloutState};
use wavegate_proto::wire::problem::ProblemCode;
use wavegate_reconciler::fleet::rollout::{Mark, Rollout};
use wavegate_state_machine::rollout::{RolloutEvent, step};

use super::super::output::refuse;
use super::super::payload::{Marked, WaveApproved};
use super::{Changed, Core, Done, Order};

/// Why a rollout that an operator has ended stands halted.
const ABORTED: &str = "aborted";

impl Core {
    /// Open dispatches are withdrawn; hosts in flight finish, and fail or converge as ever.
    pub(super) fn pause(&mut self, order: &Order, id: &RolloutId) -> Done {
        if self.expect_unfinished(id)?.mark.is_none() {
            let mark = Mark { mark: RolloutMark::Paused, by: order.mark() };
            self.mark_rollout(order, id, mark, "rollout_paused");
            self.withdraw_leases(order.now, id);
        }
        Ok(Changed::Rollout(id.clone()))
    }

    /// The same, for good: the rollout is failed, and nothing but a newer release goes on.
    pub(super) fn abort(&mut self, order: &Order, id: &RolloutId) -> Done {
        let known = self.rollout(id)?.mark.as_ref().map(|mark| mark.mark);
        if known == Some(RolloutMark::Aborted) {
            return Ok(Changed::Rollout(id.clone()));
        }
        let from = self.expect_unfinished(id)?.state;
        let mark = Mark { mark: RolloutMark::Aborted, by: order.mark() };
        self.mark_rollout(order, id, mark, "rollout_aborted");
        if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
            let halt = Halt { reason: ABORTED.to_owned(), host: None, at: order.now.wall };
            rollout.halt = Some(halt);
        }
        let to = step(from, RolloutEvent::Aborted).unwrap_or(from);
        self.enter(order.now, id, to, RolloutEvent::Aborted);
        self.advance(order.now, id);
        Ok(Changed::Rollout(id.clone()))
    }

    /// A paused rollout goes on; so does a halted one, whose failures so far are put up with: only
    /// failures from now on count towards another halt (G18). Failed hosts are not done by that: they
    /// wait to be retried or skipped.
    pub(super) fn resume(&mut self, order: &Order, id: &RolloutId, clear: bool) -> Done {
        let rollout = self.expect_unfinished(id)?;
        let from = rollout.state;
        let halted = is_halted(rollout);
        if rollout.mark.is_none() && !halted {
            return Ok(Changed::Rollout(id.clone()));
        }
        if halted {
            let quarantined = self.quarantined_closures(id);
            if !quarantined.is_empty() && !clear {
                let named: Vec<String> = quarantined.iter().map(ToString::to_string).collect();
                let detail = format!(
                    "{} on {}: publish a release with another closure, or resume with clear_quarantine",
                    named.join(", "),
                    id.channel
                );
                return Err(refuse(ProblemCode::Quarantined, detail));
            }
            for closure in quarantined {
                self.clear_quarantine(order, &id.channel, &closure)?;
            }
        }
        let version = self.next_marks_version(order.now);
        let fact = order.fact("rollout_resumed", &Marked { version });
        let log_seq = self.note(fact.about(id));
        self.unmark(id, version, log_seq);
        if halted {
            if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
                rollout.halt = None;
                if rollout.state != RolloutState::Terminal {
                    rollout.finished_at = None;
                }
            }
            let to = step(from, RolloutEvent::Resumed).unwrap_or(from);
            self.enter(order.now, id, to, RolloutEvent::Resumed);
        }
        self.advance(order.now, id);
        Ok(Changed::Rollout(id.clone()))
    }

    /// An approval may come before its wave is reached, and approves no other wave.
    pub(super) fn approve(&mut self, order: &Order, id: &RolloutId, wave: WaveIndex) -> Done {
        let rollout = self.expect_unfinished(id)?;
        if rollout.wave(wave).is_none() {
            let last = rollout.waves().len().saturating_sub(1);
            let detail = format!("{id} has the waves 0 to {last}");
            return Err(refuse(ProblemCode::NotFound, detail));
        }
        if !rollout.approvals.contains_key(&wave) {
            let version = self.marks_version;
            let fact = order.fact("wave_approved", &WaveApproved { wave, version });
            let log_seq = self.note(fact.about(id));
            self.set_approval(id, wave, order.mark(), version, log_seq);
            self.advance(order.now, id);
        }
        Ok(Changed::Rollout(id.clone()))
    }

    fn mark_rollout(&mut self, order: &Order, id: &RolloutId, mark: Mark, kind: &'static str) {
        let version = self.next_marks_version(order.now);
        let log_seq = self.note(order.fact(kind, &Marked { version }).about(id));
        self.set_mark(id, Some(mark), version, log_seq);
    }

    /// What a resume changes in its own row: the mark goes, and the failures of a halted rollout do not
    /// count towards another halt.
    pub(in crate::core) fn unmark(&mut self, id: &RolloutId, version: u64, log_seq: LogSeq) {
        self.set_mark(id, None, version, log_seq);
        let Some(rollout) = self.fleet.rollouts.get(id).filter(|rollout| is_halted(rollout)) else {
            return;
        };
        let failed = rollout.placements.iter().filter(|(_, p)| p.is_artifact_failure());
        let hosts: Vec<HostName> = failed.map(|(host, _)| host.clone()).collect();
        for host in hosts {
            self.fleet.change(id, &host, |p| p.forgiven = Some(p.record.attempt));
            self.save_placement(id, &host, log_seq);
        }
    }

    fn quarantined_closures(&self, id: &RolloutId) -> Vec<ClosureId> {
        let quarantined = self.fleet.quarantines.keys().filter(|(channel, closure)| {
            let here = |rollout: &Rollout| {
                rollout.placements.values().any(|p| p.entry.closure == *closure)
            };
            *channel == id.channel && self.fleet.rollouts.get(id).is_some_and(here)
        });
        quarantined.map(|(_, closure)| closure.clone()).collect()
    }
}

/// Whether nothing is dispatched until somebody resumes it.
fn is_halted(rollout: &Rollout) -> bool {
    matches!(rollout.state, RolloutState::Failed | RolloutState::Reverted) || rollout.halt.is_some()
}
