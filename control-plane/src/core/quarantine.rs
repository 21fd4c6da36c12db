//! Quarantine (G12): a closure on which more hosts of a wave failed, or which more of them rejected,
//! than the policy tolerates is not dispatched on its channel any more.

use std::collections::BTreeSet;

use wavegate_proto::ids::{Attempt, HostName, LogSeq, WaveIndex};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::agent::{MAX_REJECTED, Rejected};
use wavegate_proto::wire::operator::{QuarantineDocument, QuarantineSource};
use wavegate_reconciler::fleet::Quarantine;
use wavegate_reconciler::fleet::placement::Placement;
use wavegate_reconciler::fleet::rollout::Rollout;

use super::Core;
use super::input::Place;
use super::log::Fact;
use super::payload::{QuarantineAdded, logged};
use super::rows::{QuarantineRow, Write};

/// A failure, in the order in which failures count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FailureOf {
    pub(super) at: Timestamp,
    pub(super) host: HostName,
    pub(super) attempt: Attempt,
    pub(super) reason: String,
}

impl Core {
    /// A host has failed for the closure's own fault: is the closure to be quarantined?
    pub(super) fn judge_closure(&mut self, now: Now, place: &Place) {
        let Some(placement) = self.fleet.placement(&place.0, &place.1) else { return };
        if !placement.is_artifact_failure() || placement.is_cleared(placement.record.attempt) {
            return;
        }
        let attempt = placement.record.attempt;
        let document = self
            .quarantine_from_failures(place)
            .or_else(|| self.quarantine_from_reports(now, place, attempt));
        if let Some(document) = document {
            self.quarantine(now, place, document);
        }
    }

    /// The failures of a closure that are over the limit of the host's wave begin with this one.
    fn failure_over_limit(&self, place: &Place) -> Option<FailureOf> {
        let rollout = self.fleet.rollouts.get(&place.0)?;
        let here = rollout.placements.get(&place.1)?;
        nth_failure_over_limit(rollout, here.entry.wave, |p| {
            p.entry.closure == here.entry.closure && !p.is_cleared(p.record.attempt)
        })
    }

    fn quarantine_from_failures(&self, place: &Place) -> Option<QuarantineDocument> {
        let failure = self.failure_over_limit(place)?;
        let closure = self.fleet.placement(&place.0, &place.1)?.entry.closure.clone();
        Some(QuarantineDocument {
            channel: place.0.channel.clone(),
            closure,
            since: failure.at,
            host: failure.host,
            rollout_id: place.0.clone(),
            attempt: failure.attempt,
            reason: failure.reason,
            source: QuarantineSource::Rollback,
        })
    }

    /// A heartbeat names a closure its host has rejected. It counts only if the signed entry of that
    /// rollout names this host and closure.
    pub(super) fn rejected(&mut self, now: Now, host: &HostName, rejected: &Rejected) {
        let place = (rejected.rollout_id.clone(), host.clone());
        let Some(placement) = self.fleet.placement(&place.0, host) else { return };
        let signed = placement.entry.closure == rejected.closure
            && rejected.rollout_id.channel == rejected.channel;
        let known = placement.is_artifact_failure() || placement.is_cleared(rejected.attempt);
        if !signed || known {
            return;
        }
        let key = (rejected.channel.clone(), rejected.closure.clone());
        if !self.rejections.entry(key).or_default().insert(host.clone()) {
            return;
        }
        if let Some(document) = self.quarantine_from_reports(now, &place, rejected.attempt) {
            self.quarantine(now, &place, document);
        }
    }

    /// The rejections of a heartbeat that its host is to drop: an operator has cleared them.
    pub(super) fn cleared(&self, host: &HostName, rejected: &[Rejected]) -> Vec<Rejected> {
        let cleared = rejected.iter().take(MAX_REJECTED).filter(|rejected| {
            let placement = self.fleet.placement(&rejected.rollout_id, host);
            placement.is_some_and(|p| {
                p.entry.closure == rejected.closure && p.is_cleared(rejected.attempt)
            })
        });
        cleared.cloned().collect()
    }

    /// Failures and rejections of different hosts count together.
    fn quarantine_from_reports(
        &self,
        now: Now,
        (rollout_id, host): &Place,
        attempt: Attempt,
    ) -> Option<QuarantineDocument> {
        let rollout = self.fleet.rollouts.get(rollout_id)?;
        let entry = &rollout.placements.get(host)?.entry;
        let (wave, closure) = (entry.wave, &entry.closure);
        let key = (rollout_id.channel.clone(), closure.clone());
        let mut hosts: BTreeSet<&HostName> = self.rejections.get(&key)?.iter().collect();
        hosts.retain(|host| rollout.placements.get(host).is_some_and(|p| p.entry.wave == wave));
        let failed = rollout.placements.iter().filter(|(_, p)| {
            p.entry.wave == wave
                && p.entry.closure == *closure
                && p.is_artifact_failure()
                && !p.is_cleared(p.record.attempt)
        });
        hosts.extend(failed.map(|(host, _)| host));
        let count = u64::try_from(hosts.len()).unwrap_or(u64::MAX);
        (count > rollout.wave(wave)?.max_failures(rollout.policy())).then(|| QuarantineDocument {
            channel: key.0,
            closure: key.1,
            since: now.wall,
            host: host.clone(),
            rollout_id: rollout_id.clone(),
            attempt,
            reason: "hosts report that they rejected this closure".to_owned(),
            source: QuarantineSource::Reported,
        })
    }

    /// Adds a quarantine. One that is known gives way only to a better account of the same thing, so
    /// that after a wiped database the order in which hosts report does not matter.
    fn quarantine(&mut self, now: Now, place: &Place, document: QuarantineDocument) {
        let key = (document.channel.clone(), document.closure.clone());
        let known = self.fleet.quarantines.get(&key).map(|quarantine| &quarantine.document);
        let better = known.is_none_or(|known| {
            let reported = known.source == QuarantineSource::Reported;
            match document.source {
                QuarantineSource::Reported => false,
                QuarantineSource::Rollback => {
                    reported || (document.rollout_id == known.rollout_id && document != *known)
                }
            }
        });
        if !better {
            return;
        }
        let payload = logged(&QuarantineAdded::of(&document));
        let fact = Fact::own(now, "quarantine_added", payload).about(&place.0).on(&document.host);
        let log_seq = self.note(fact);
        self.add_quarantine(document, log_seq);
    }

    pub(super) fn add_quarantine(&mut self, document: QuarantineDocument, log_seq: LogSeq) {
        let key = (document.channel.clone(), document.closure.clone());
        self.write(Write::Quarantine(QuarantineRow { document: document.clone(), log_seq }));
        self.fleet.quarantines.insert(key, Quarantine { document, log_seq });
    }
}

/// The failure with which a wave exceeded its limit, counted in the order in which hosts failed.
pub(super) fn nth_failure_over_limit(
    rollout: &Rollout,
    wave: WaveIndex,
    counts: impl Fn(&Placement) -> bool,
) -> Option<FailureOf> {
    let limit = rollout.wave(wave)?.max_failures(rollout.policy());
    let of_wave = rollout.placements.values().filter(|p| p.entry.wave == wave && counts(p));
    let mut failures: Vec<FailureOf> = of_wave.filter_map(failure_of).collect();
    failures.sort();
    failures.into_iter().nth(usize::try_from(limit).unwrap_or(usize::MAX))
}

pub(super) fn failure_of(placement: &Placement) -> Option<FailureOf> {
    let record = &placement.record;
    placement.is_artifact_failure().then(|| FailureOf {
        at: record.failed_at.unwrap_or(record.state_since),
        host: record.host.clone(),
        attempt: record.attempt,
        reason: record.failure.as_ref().map(|f| f.reason.clone()).unwrap_or_default(),
    })
}
