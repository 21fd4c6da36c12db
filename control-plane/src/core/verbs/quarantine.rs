//! Clearing a quarantine: failures and rejections of the closure so far do not speak against it any more,
//! by host, rollout and attempt, never by a host's clock (G12). Only a later attempt quarantines again.
//!
//! Not here: adding quarantines, and telling hosts to drop their rejections (see
//! [`super::super::quarantine`]).

use wavegate_proto::ids::{ChannelName, ClosureId, LogSeq};
use wavegate_proto::wire::operator::{QuarantineDocument, QuarantineSource};
use wavegate_proto::wire::problem::ProblemCode;

use super::super::output::refuse;
use super::super::payload::{ClearedAttempt, QuarantineCleared};
use super::super::quarantine::{FailureOf, failure_of};
use super::super::rows::Write;
use super::{Changed, Core, Done, Order};

impl Core {
    /// Also for a closure that is rejected by some hosts only, without being quarantined: these drop
    /// their rejections.
    pub(super) fn clear_quarantine(
        &mut self,
        order: &Order,
        channel: &ChannelName,
        closure: &ClosureId,
    ) -> Done {
        let key = (channel.clone(), closure.clone());
        let speaking = self.speaking_against(channel, closure);
        let known = self.fleet.quarantines.get(&key).map(|known| known.document.clone());
        let Some(cleared) = known.clone().or_else(|| self.first_against(channel, closure)) else {
            let detail = format!("no host of {channel} has failed on {closure} or rejected it");
            return Err(refuse(ProblemCode::NotFound, detail));
        };
        if known.is_none() && speaking.is_empty() {
            return Ok(Changed::Quarantine(Box::new(cleared)));
        }
        let payload = QuarantineCleared {
            channel: channel.clone(),
            closure: closure.clone(),
            attempts: speaking,
        };
        let fact = order.fact("quarantine_cleared", &payload);
        let log_seq = self.note(fact.about(&cleared.rollout_id).on(&cleared.host));
        self.mark_cleared(payload, log_seq);
        Ok(Changed::Quarantine(Box::new(cleared)))
    }

    /// What clearing a quarantine changes in its own row.
    pub(in crate::core) fn mark_cleared(&mut self, cleared: QuarantineCleared, log_seq: LogSeq) {
        for ClearedAttempt { rollout_id, host, attempt } in cleared.attempts {
            self.fleet.change(&rollout_id, &host, |p| p.cleared = Some(attempt));
            self.save_placement(&rollout_id, &host, log_seq);
        }
        let key = (cleared.channel, cleared.closure);
        self.rejections.remove(&key);
        if self.fleet.quarantines.remove(&key).is_some() {
            let (channel, closure) = key;
            self.write(Write::QuarantineCleared { channel, closure });
        }
    }

    /// Every place at which the closure failed or was rejected, and was not cleared since.
    fn speaking_against(&self, channel: &ChannelName, closure: &ClosureId) -> Vec<ClearedAttempt> {
        let rejecting = self.rejections.get(&(channel.clone(), closure.clone()));
        let rollouts = self.fleet.rollouts.values().filter(|r| r.id.channel == *channel);
        let places = rollouts.flat_map(|rollout| {
            let against = rollout.placements.iter().filter(|(host, p)| {
                let rejected = rejecting.is_some_and(|hosts| hosts.contains(*host));
                p.entry.closure == *closure
                    && (p.is_artifact_failure() || rejected)
                    && !p.is_cleared(p.record.attempt)
            });
            against.map(|(host, p)| ClearedAttempt {
                rollout_id: rollout.id.clone(),
                host: host.clone(),
                attempt: p.record.attempt,
            })
        });
        places.collect()
    }

    /// The first failure of a closure, cleared or not, as a quarantine would tell it.
    fn first_against(
        &self,
        channel: &ChannelName,
        closure: &ClosureId,
    ) -> Option<QuarantineDocument> {
        let rollouts = self.fleet.rollouts.values().filter(|r| r.id.channel == *channel);
        let placements = rollouts.flat_map(|rollout| rollout.placements.values());
        let failures = placements.filter(|p| p.entry.closure == *closure).filter_map(|p| {
            let cleared = || {
                p.cleared.map(|attempt| FailureOf {
                    at: p.record.state_since,
                    host: p.record.host.clone(),
                    attempt,
                    reason: "cleared".to_owned(),
                })
            };
            Some((failure_of(p).or_else(cleared)?, p.record.rollout_id.clone()))
        });
        let (failure, rollout_id) = failures.min()?;
        Some(QuarantineDocument {
            channel: channel.clone(),
            closure: closure.clone(),
            since: failure.at,
            host: failure.host,
            rollout_id,
            attempt: failure.attempt,
            reason: failure.reason,
            source: QuarantineSource::Rollback,
        })
    }
}
