//! Verbs about one host: retry, skip, hold, release.
//!
//! Not here: what a record allows (see `wavegate_state_machine::host::facts`).

use wavegate_proto::ids::{HostName, LogSeq, RolloutId};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{Hold, RolloutState};
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::placement::{Placement, SkipReason};
use wavegate_reconciler::gates::is_online;
use wavegate_state_machine::host::{ControlFact, Refusal, apply_fact};

use super::super::input::Place;
use super::super::output::refuse;
use super::super::payload::{HostHeld, HostRetried, HostSkipped, Marked};
use super::{Changed, Core, Done, Order};

impl Core {
    /// The host is dispatched again when its gates open, as the next attempt. A quarantine stays, and so
    /// do the gates: a halted rollout has to be resumed as well.
    pub(super) fn retry_host(&mut self, order: &Order, place: &Place) -> Done {
        let placement = self.expect_host_in(place)?;
        let again = placement.retried && placement.record.state == HostState::Pending;
        if !again {
            self.try_retry(order, place)?;
        }
        Ok(Changed::Host(place.1.clone()))
    }

    pub(super) fn retry_failed(&mut self, order: &Order, id: &RolloutId) -> Done {
        let rollout = self.expect_not_superseded(id)?;
        let failed = rollout.placements.iter().filter(|(_, p)| has_failed(p));
        let hosts: Vec<HostName> = failed.map(|(host, _)| host.clone()).collect();
        for host in hosts {
            // One that rolls back is not tried again now; the document says where it is.
            let _rolling_back = self.try_retry(order, &(id.clone(), host));
        }
        Ok(Changed::Rollout(id.clone()))
    }

    fn try_retry(&mut self, order: &Order, place: &Place) -> Result<(), Box<Problem>> {
        let (id, host) = place;
        let placement = self.expect_host_in(place)?;
        if let Err(refusal) = retried(placement, order.now.wall) {
            return Err(self.not_retryable(place, &refusal));
        }
        let was_left_out = placement.skip == Some(SkipReason::Operator);
        let version = was_left_out.then(|| self.next_marks_version(order.now));
        let fact = order.fact("host_retried", &HostRetried { version });
        let log_seq = self.note(fact.about(id).on(host));
        self.mark_retried(order.now, place, version, log_seq);
        self.advance(order.now, id);
        Ok(())
    }

    /// What a retry changes in its own row. Refused, nothing has changed.
    pub(in crate::core) fn mark_retried(
        &mut self,
        now: Now,
        place: &Place,
        version: Option<u64>,
        log_seq: LogSeq,
    ) {
        self.fleet.change(&place.0, &place.1, |placement| {
            let Ok(record) = retried(placement, now.wall) else { return };
            placement.record = record;
            placement.skip = None;
            placement.skip_by = None;
            placement.skip_version = version.unwrap_or(placement.skip_version);
            placement.infra_failures = 0;
            placement.retry_at = None;
            placement.lost = false;
            placement.diverged = false;
            placement.retried = true;
            placement.entered = now.mono;
        });
        if let Some(known) = self.fleet.hosts.get_mut(&place.1) {
            known.liveness.off_target = 0;
        }
        self.save_placement(&place.0, &place.1, log_seq);
    }

    fn not_retryable(&self, (id, host): &Place, refusal: &Refusal) -> Box<Problem> {
        let finished =
            self.fleet.rollouts.get(id).is_some_and(|r| r.state == RolloutState::Terminal);
        if finished {
            let detail = format!("{id} is terminal and {host} is done: {refusal}");
            return refuse(ProblemCode::RolloutFinished, detail);
        }
        let detail = format!("{host}: {refusal}; failed, reverted and skipped hosts can be");
        refuse(ProblemCode::NotRetryable, detail)
    }

    /// Waves, budgets and the end of the rollout do without the host. One that is being worked on is
    /// left out only when it is lost, waits for a reboot, or fell silent while rolling back: then the
    /// mark stands beside its state until it is heard again (G7).
    pub(super) fn skip_host(&mut self, order: &Order, place: &Place) -> Done {
        let placement = self.expect_host_in(place)?;
        if placement.skip != Some(SkipReason::Operator) {
            self.expect_skippable(order, place)?;
            let version = Some(self.next_marks_version(order.now));
            let (cause, by) = (Some(SkipReason::Operator), Some(order.mark()));
            let skipped = HostSkipped { skipped: true, cause, by, version };
            let fact = order.fact("host_skipped", &skipped);
            let log_seq = self.note(fact.about(&place.0).on(&place.1));
            self.mark_skipped(order.now, place, skipped, log_seq);
            self.advance(order.now, &place.0);
        }
        Ok(Changed::Host(place.1.clone()))
    }

    fn expect_skippable(&self, order: &Order, place: &Place) -> Result<(), Box<Problem>> {
        let placement = self.expect_host_in(place)?;
        let (id, host) = place;
        let state = placement.record.state;
        let silent = || {
            let offline_after_secs =
                self.fleet.rollouts.get(id).map_or(0, |r| r.policy().offline_after_secs);
            let host = self.fleet.hosts.get(host);
            !host.is_some_and(|h| is_online(h, offline_after_secs, order.now.mono))
        };
        let free = match state {
            HostState::Pending | HostState::Reverted | HostState::Skipped => true,
            HostState::Deferred => true,
            HostState::Activating | HostState::Soaking => placement.lost,
            HostState::Failed => !placement.record.is_rolling_back() || silent(),
            HostState::Converged => {
                if !placement.is_degraded() {
                    let detail =
                        format!("{host} has converged: there is nothing to leave it out of");
                    return Err(refuse(ProblemCode::NotSkippable, detail));
                }
                true
            }
        };
        if free {
            return Ok(());
        }
        let detail = format!("{host} is {state}: wait until it has finished, or is shown as lost");
        Err(refuse(ProblemCode::HostInFlight, detail))
    }

    /// What the host is in the middle of it finishes; an open dispatch is withdrawn.
    pub(super) fn hold_host(
        &mut self,
        order: &Order,
        host: &HostName,
        until: Option<Timestamp>,
    ) -> Done {
        if until.is_some_and(|until| until <= order.now.wall) {
            let detail = format!("until is in the past: it is {} now", order.now.wall);
            return Err(refuse(ProblemCode::BadRequest, detail));
        }
        self.expect_host(host)?;
        let known = self.fleet.hosts.get(host).and_then(|known| known.hold.as_deref());
        if known.is_none_or(|known| known.until != until || known.reason != order.reason) {
            let by = order.mark();
            let hold = Hold { reason: by.reason, actor: by.actor, since: by.at, until };
            let version = self.next_marks_version(order.now);
            let log_seq = self.note(order.fact("host_held", &HostHeld { until, version }).on(host));
            self.set_hold(host, Some(hold), version, log_seq);
            self.withdraw_leases_of(order.now, host);
        }
        Ok(Changed::Host(host.clone()))
    }

    pub(super) fn release_host(&mut self, order: &Order, host: &HostName) -> Done {
        self.expect_host(host)?;
        if self.fleet.hosts.get(host).is_some_and(|known| {
            known.hold.as_ref().is_some_and(|hold| hold.stands_at(order.now.wall))
        }) {
            let version = self.next_marks_version(order.now);
            let log_seq = self.note(order.fact("host_released", &Marked { version }).on(host));
            self.set_hold(host, None, version, log_seq);
        }
        Ok(Changed::Host(host.clone()))
    }

    fn expect_host_in(&self, (id, host): &Place) -> Result<&Placement, Box<Problem>> {
        let rollout = self.expect_not_superseded(id)?;
        rollout
            .placements
            .get(host)
            .ok_or_else(|| refuse(ProblemCode::UnknownHost, format!("{id} has no host {host}")))
    }
}

/// Whether `retry` of every failed host means this one too.
fn has_failed(placement: &Placement) -> bool {
    match placement.record.state {
        HostState::Failed | HostState::Reverted => true,
        HostState::Pending => placement.infra_failures > 0 && placement.lease.is_none(),
        HostState::Activating
        | HostState::Deferred
        | HostState::Soaking
        | HostState::Converged
        | HostState::Skipped => false,
    }
}

/// The record of a host that is tried again.
fn retried(placement: &Placement, at: Timestamp) -> Result<HostRecord, Refusal> {
    let mut record = placement.record.clone();
    // A pending record whose dispatches lapsed or were refused is tried again from the start.
    let waits = record.state == HostState::Pending
        && placement.lease.is_none()
        && placement.infra_failures > 0;
    if !waits {
        let out_of_reach = placement.lost || placement.diverged;
        let fact = if out_of_reach { ControlFact::RetryLost } else { ControlFact::Retry };
        apply_fact(&mut record, fact, at)?;
    }
    Ok(record)
}
