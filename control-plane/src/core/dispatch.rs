//! Dispatches: leases issued by the plan, handed to the one poll that waits for them, lapsing by the
//! monotonic clock.

use serde_json::json;
use wavegate_proto::ids::{Attempt, HostName, LogSeq, RolloutId};
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::Dispatch;
use wavegate_reconciler::fleet::placement::{Lease, Placement};
use wavegate_state_machine::host::{ControlFact, apply_fact};

use super::input::Place;
use super::log::Fact;
use super::payload::{DispatchIssued, logged};
use super::{Answer, Core, Token};

impl Core {
    /// An agent waits for its dispatch. A second poll of the same host ends the first; asking again
    /// before acknowledging returns the same dispatch.
    pub(super) fn poll(&mut self, now: Now, host: HostName, reply: Token) {
        if let Err(problem) = self.expect_member(&host) {
            self.reply(reply, Answer::Problem(problem));
            return;
        }
        if let Some(earlier) = self.polls.remove(&host) {
            self.reply(earlier, Answer::Dispatch(None));
        }
        match self.open_dispatch(now, &host) {
            Some(dispatch) => self.reply(reply, Answer::Dispatch(Some(Box::new(dispatch)))),
            None => {
                self.polls.insert(host, reply);
            }
        }
    }

    pub(super) fn poll_ended(&mut self, host: &HostName, reply: Token) {
        if self.polls.get(host) == Some(&reply) {
            self.polls.remove(host);
        }
    }

    /// Hands a lease to the poll that waits for it.
    pub(super) fn hand_over(&mut self, now: Now, host: &HostName) {
        if let Some(dispatch) = self.open_dispatch(now, host)
            && let Some(waiting) = self.polls.remove(host)
        {
            self.reply(waiting, Answer::Dispatch(Some(Box::new(dispatch))));
        }
    }

    /// The lease a host may have now. One from before the start waits until the host has reported: an
    /// older database that was put back may offer what the host has long done (D7).
    fn open_dispatch(&self, now: Now, host: &HostName) -> Option<Dispatch> {
        if self.fleet.recovering.unreported.contains(host) {
            return None;
        }
        self.fleet.records(host).find_map(|(rollout, placement)| {
            let lease = placement.lease.as_ref().filter(|lease| now.mono < lease.expires)?;
            Some(dispatch_of(&rollout.id, placement, lease))
        })
    }

    /// Issues a lease and wakes the one poll that waits for it (O7).
    pub(super) fn issue(&mut self, now: Now, place: &Place, no_change: bool) {
        let (rollout_id, host) = place;
        let Some(rollout) = self.fleet.rollouts.get(rollout_id) else { return };
        let timeout_secs = rollout.policy().dispatch_timeout_secs;
        let Some(placement) = rollout.placements.get(host) else { return };
        let lease = Lease {
            attempt: placement.issued.max(placement.record.attempt).next(),
            no_change,
            issued_at: now.wall,
            expires_at: now.wall.plus_secs(timeout_secs),
            expires: now.mono.plus_secs(timeout_secs),
        };
        let issued = DispatchIssued {
            attempt: lease.attempt,
            no_change: lease.no_change,
            expires_at: lease.expires_at,
        };
        let fact = Fact::own(now, "dispatch_issued", logged(&issued)).about(rollout_id).on(host);
        let log_seq = self.note(fact);
        self.open_lease(place, lease, log_seq);
        if let Some(rollout) = self.fleet.rollouts.get_mut(rollout_id).filter(|_| !no_change) {
            rollout.note_dispatch(now.mono);
        }
        self.hand_over(now, host);
    }

    /// Gives a host its lease.
    pub(super) fn open_lease(&mut self, place: &Place, lease: Lease, log_seq: LogSeq) {
        let (rollout_id, host) = place;
        self.leases.insert((lease.expires, place.clone()));
        self.fleet.change(rollout_id, host, |placement| {
            placement.issued = lease.attempt;
            placement.record.dispatched_at = Some(lease.issued_at);
            placement.held = None;
            placement.lease = Some(lease);
        });
        self.save_dispatch(rollout_id, host, log_seq);
        self.save_placement(rollout_id, host, log_seq);
    }

    /// Takes back what was not acknowledged in time: it counts as an infrastructure failure (G6).
    pub(super) fn expire_leases(&mut self, now: Now) {
        while let Some((expires, _)) = self.leases.first()
            && *expires <= now.mono
            && let Some((_, place)) = self.leases.pop_first()
        {
            let attempt = self.fleet.placement(&place.0, &place.1).and_then(|p| p.lease.as_ref());
            let attempt = attempt.map_or(Attempt(0), |lease| lease.attempt);
            let payload = json!({ "attempt": attempt });
            let fact = Fact::own(now, "dispatch_expired", payload).about(&place.0).on(&place.1);
            let log_seq = self.note(fact);
            self.lapse_lease(now, &place, log_seq);
            self.advance(now, &place.0);
        }
    }

    /// A lease was not acknowledged in time.
    pub(super) fn lapse_lease(&mut self, now: Now, place: &Place, log_seq: LogSeq) {
        self.close_lease(place, false);
        self.count_infra_failure(now, place, true);
        self.save_placement(&place.0, &place.1, log_seq);
    }

    /// Takes back every open lease of a host.
    pub(super) fn withdraw_leases_of(&mut self, now: Now, host: &HostName) {
        let leased = self.fleet.records(host).filter(|(_, placement)| placement.lease.is_some());
        let leased: Vec<RolloutId> = leased.map(|(rollout, _)| rollout.id.clone()).collect();
        for id in leased {
            let fact = Fact::own(now, "dispatch_withdrawn", json!({})).about(&id).on(host);
            let log_seq = self.note(fact);
            self.withdraw_lease(&(id, host.clone()), log_seq);
        }
    }

    /// A lease is taken back.
    pub(super) fn withdraw_lease(&mut self, place: &Place, log_seq: LogSeq) {
        self.close_lease(place, false);
        self.save_placement(&place.0, &place.1, log_seq);
    }

    /// Lets hosts whose back-off is over be dispatched again.
    pub(super) fn retry_due(&mut self, now: Now) {
        while let Some((retry_at, _)) = self.retries.first()
            && *retry_at <= now.mono
            && let Some((_, place)) = self.retries.pop_first()
        {
            self.retry(now, &place);
        }
    }

    fn retry(&mut self, now: Now, place: &Place) {
        let Some(rollout) = self.fleet.rollouts.get(&place.0) else { return };
        let (retries, open) = (rollout.policy().infra_retries, rollout.is_open());
        let Some(placement) = rollout.placements.get(&place.1) else { return };
        if !open || placement.infra_failures > retries || placement.is_artifact_failure() {
            return;
        }
        if self.try_fact(now, place, ControlFact::InfraRetry) {
            let (rollout_id, host) = place;
            let fact = Fact::own(now, "infra_retry", json!({})).about(rollout_id).on(host);
            let log_seq = self.note(fact);
            self.save_placement(rollout_id, host, log_seq);
            self.advance(now, rollout_id);
        }
    }

    /// Moves a record by a fact of the control plane's own, if it allows it.
    pub(super) fn try_fact(
        &mut self,
        now: Now,
        (rollout_id, host): &Place,
        fact: ControlFact,
    ) -> bool {
        let moved = self.fleet.change(rollout_id, host, |placement| {
            apply_fact(&mut placement.record, fact, now.wall).is_ok()
        });
        moved == Some(true)
    }
}

fn dispatch_of(rollout_id: &RolloutId, placement: &Placement, lease: &Lease) -> Dispatch {
    Dispatch {
        rollout_id: rollout_id.clone(),
        channel: rollout_id.channel.clone(),
        wave: placement.entry.wave,
        target_closure: placement.entry.closure.clone(),
        no_change: lease.no_change,
        attempt: lease.attempt,
        issued_at: lease.issued_at,
        expires_at: lease.expires_at,
    }
}
