//! What follows from a folded event beside the record itself: leases close, failures are counted
//! towards retries ([`Core::settle_fold`], which a rebuild does again); closures are quarantined, hosts
//! taken in again ([`Core::react_to`], which makes log rows of its own).

use wavegate_proto::event::{Event, FailureClass, JournalEntry};
use wavegate_proto::ids::LogSeq;
use wavegate_proto::record::HostState;
use wavegate_proto::time::Now;
use wavegate_reconciler::fleet::placement::{Placement, RetryAt, SkipReason};
use wavegate_state_machine::host::Origin;

use super::Core;
use super::input::Place;
use super::rows::Write;

/// The reason of a failure that is nobody's: the host got its permission too late (G4).
const LEASE_LAPSED: &str = "lease-lapsed";

/// The first back-off after a failure that is not the closure's, in seconds.
const FIRST_BACK_OFF_SECS: u64 = 30;

/// The longest back-off, in seconds.
pub(super) const MAX_BACK_OFF_SECS: u64 = 15 * 60;

/// How long a host waits after its `failures`-th failure, in seconds: 30 s doubled each time, at most
/// 15 min.
fn back_off_secs(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_BACK_OFF_SECS << doublings).min(MAX_BACK_OFF_SECS)
}

impl Core {
    /// What belongs to the event's own row.
    pub(super) fn settle_fold(
        &mut self,
        now: Now,
        place: &Place,
        entry: &JournalEntry,
        origin: Origin,
        log_seq: LogSeq,
    ) {
        match &entry.event {
            Event::DispatchAck { attempt, .. } => {
                self.close_lease(place, true);
                let attempt = *attempt;
                self.fleet.change(&place.0, &place.1, |p| {
                    p.issued = p.issued.max(attempt);
                    p.retried = false;
                });
            }
            Event::Carried { .. } => self.close_lease(place, true),
            Event::DispatchReject { .. } => {
                self.close_lease(place, false);
                self.count_infra_failure(now, place, true);
            }
            Event::ActivationFailed { class, reason, .. } => match class {
                FailureClass::Artifact => {}
                FailureClass::Host | FailureClass::Network | FailureClass::Policy => {
                    self.count_infra_failure(now, place, reason != LEASE_LAPSED);
                }
            },
            Event::RollbackComplete { .. } | Event::RollbackFailed { .. } => {
                self.queue_retry(place);
            }
            Event::JournalOpened { .. } if origin == Origin::Replay => {
                self.resume_infra_failure(now, place);
            }
            Event::ProbeTopology { .. }
            | Event::ProbeResult { .. }
            | Event::ActivationComplete { .. } => {
                self.save_probe_failures(&place.0, &place.1, log_seq);
            }
            Event::JournalOpened { .. }
            | Event::ActivationStarted { .. }
            | Event::ActivationDeferred { .. }
            | Event::Failed { .. }
            | Event::Converged { .. }
            | Event::Degraded { .. }
            | Event::Recovered {}
            | Event::ResourceChanged { .. }
            | Event::DriftDetected { .. }
            | Event::DriftCorrected { .. }
            | Event::Refused => {}
        }
        self.save_placement(&place.0, &place.1, log_seq);
    }

    /// What follows from the event in rows of its own. A host that speaks is not left out any more, and
    /// one that has failed for the closure's fault speaks against it.
    pub(super) fn react_to(
        &mut self,
        now: Now,
        place: &Place,
        entry: &JournalEntry,
        origin: Origin,
    ) {
        if self.counts_again(place, origin) {
            self.set_skip(now, place, None);
        }
        let failed = matches!(entry.event, Event::Failed { .. } | Event::ActivationFailed { .. });
        let reopened = matches!(entry.event, Event::JournalOpened { .. });
        if failed || (reopened && origin == Origin::Replay) {
            self.judge_closure(now, place);
        }
    }

    /// Whether a host that was left out is to be taken in again now that it speaks: for silence always;
    /// by a person when it was in flight (G7), or degraded and has recovered.
    fn counts_again(&self, (rollout_id, host): &Place, origin: Origin) -> bool {
        let Some(placement) = self.fleet.placement(rollout_id, host) else { return false };
        match placement.skip {
            Some(SkipReason::Offline) => true,
            Some(SkipReason::Operator) if origin == Origin::Live => match placement.record.state {
                HostState::Activating | HostState::Deferred | HostState::Soaking => true,
                HostState::Converged => !placement.is_degraded(),
                HostState::Pending
                | HostState::Failed
                | HostState::Reverted
                | HostState::Skipped => false,
            },
            Some(SkipReason::Operator | SkipReason::Removed | SkipReason::Revoked) | None => false,
        }
    }

    /// Takes an open dispatch away; `taken`: the host has acknowledged it.
    pub(super) fn close_lease(&mut self, (rollout_id, host): &Place, taken: bool) {
        let lease = self.fleet.change(rollout_id, host, |placement| {
            if !taken {
                placement.record.dispatched_at = None;
            }
            placement.lease.take()
        });
        if let Some(Some(lease)) = lease {
            self.leases.remove(&(lease.expires, (rollout_id.clone(), host.clone())));
            let (rollout_id, host) = (rollout_id.clone(), host.clone());
            self.write(Write::DispatchClosed { rollout_id, host });
        }
    }

    /// Counts a failure that is not the closure's, and lets the host wait before it is tried again.
    pub(super) fn count_infra_failure(&mut self, now: Now, place: &Place, counts: bool) {
        self.fleet.change(&place.0, &place.1, |placement| {
            placement.infra_failures += u32::from(counts);
            placement.retried = false;
            let secs = back_off_secs(placement.infra_failures.max(1));
            placement.retry_at = Some(RetryAt::after(now, secs));
        });
        self.queue_retry(place);
    }

    /// A host that comes back with a failure that is not the closure's waits, and is tried again.
    fn resume_infra_failure(&mut self, now: Now, place: &Place) {
        let failed = |p: &Placement| {
            matches!(p.record.state, HostState::Failed | HostState::Reverted)
                && !p.is_artifact_failure()
        };
        if self.fleet.placement(&place.0, &place.1).is_some_and(failed) {
            self.count_infra_failure(now, place, true);
        }
    }

    /// Remembers when a host is due to be tried again.
    pub(super) fn queue_retry(&mut self, place: &Place) {
        let placement = self.fleet.placement(&place.0, &place.1);
        if let Some(retry_at) = placement.and_then(|p| p.retry_at) {
            self.retries.insert((retry_at.mono, place.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_a_quarter_of_an_hour() {
        let table = [(1, 30), (2, 60), (3, 120), (5, 480), (6, 900), (7, 900), (1000, 900)];
        for (failures, secs) in table {
            assert_eq!(back_off_secs(failures), secs, "after {failures} failures");
        }
    }
}
