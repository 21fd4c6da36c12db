//! What each kind of row does to the fleet.
//!
//! Not here: why it happened.

use serde::de::DeserializeOwned;
use serde_json::Value;
use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{CpEpoch, HostName, RolloutId, Sha256Hash};
use wavegate_proto::log_chain::COMPACTED;
use wavegate_proto::time::Mono;
use wavegate_proto::wire::operator::{EventItem, RolloutState};
use wavegate_reconciler::fleet::placement::Lease;
use wavegate_state_machine::host::{ControlFact, Origin, refused_form};

use super::signed::{Artifacts, offered_manifest};
use super::{Rebuild, Unfoldable, at};
use crate::core::events::settle_refusal;
use crate::core::input::Place;
use crate::core::payload::{
    CpStarted, DispatchIssued, EpochRenewed, EventRefused, HostDiverged, HostRecovered,
    HostSkipped, QuarantineAdded, ReleaseAdopted, Reported, RolloutMoved, RolloutOffered,
    RolloutOpened, RolloutPruned, WaveStarted,
};
use crate::core::rows::{KEPT_KINDS, PRUNED, Write};

/// A lease of the past ends when a row says so, not by a clock.
const NEVER: Mono = Mono::from_millis(u64::MAX);

impl<A: Artifacts> Rebuild<A> {
    pub(super) fn fold_row(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        if self.is_about_pruned(row) {
            return Ok(());
        }
        match row.kind.as_str() {
            "cp_started" => self.new_epoch(row, read::<CpStarted>(row)?.cp_epoch),
            "epoch_renewed" => self.new_epoch(row, read::<EpochRenewed>(row)?.new),
            "release_adopted" => return self.release_adopted(row),
            "rollout_opened" => return self.rollout_opened(row),
            "rollout_state" => return self.rollout_state(row),
            PRUNED => {
                let pruned: RolloutPruned = read(row)?;
                self.core.forget_rollout(at(row.at), rollout(row)?, &pruned, row.seq);
            }
            COMPACTED => self.core.remove_runs(read(row)?, row.seq),
            "wave_started" => {
                let wave = read::<WaveStarted>(row)?.wave;
                self.core.begin_wave(at(row.at), rollout(row)?, wave, row.seq);
            }
            "dispatch_issued" => return self.dispatch_issued(row),
            "dispatch_expired" => self.core.lapse_lease(at(row.at), &self.place(row)?, row.seq),
            "dispatch_withdrawn" => self.core.withdraw_lease(&self.place(row)?, row.seq),
            "host_skipped" => {
                let skipped = read::<HostSkipped>(row)?;
                self.core.mark_skipped(at(row.at), &self.place(row)?, skipped, row.seq);
            }
            "host_diverged" => {
                let diverged = read::<HostDiverged>(row)?.diverged;
                self.core.mark_diverged(&self.place(row)?, diverged, row.seq);
            }
            "host_lost" => self.core.mark_lost(&self.place(row)?, true, row.seq),
            "host_found" => self.core.mark_lost(&self.place(row)?, false, row.seq),
            "infra_retry" => return self.control_fact(row, ControlFact::InfraRetry),
            "host_recovered" => return self.host_recovered(row),
            "event_refused" => return self.event_refused(row),
            "quarantine_added" => {
                let id = rollout(row)?.clone();
                let host = row.host.clone().ok_or(Unfoldable::NoPlace)?;
                let document = read::<QuarantineAdded>(row)?.document(id, host);
                self.core.add_quarantine(document, row.seq);
            }
            "host_enrolled" => {
                let host = row.host.clone().ok_or(Unfoldable::NoPlace)?;
                self.core.add_enrollment(host, read(row)?, row.at, row.seq);
            }
            // Told to people; no derived row is changed by them.
            "release_refused"
            | "gate_changed"
            | "journal_replaced"
            | "journal_diverged"
            | "checkpoint_refused"
            | "marks_refused"
            | "release_behind"
            | "serial_ahead"
            | "trust_rotated"
            | "host_cloned"
            | "host_clone_cleared"
            | "clock_skewed"
            | "certificate_renewed" => {}
            kind if Event::KINDS.contains(&kind) => return self.event(row),
            _ => return self.verb(row),
        }
        Ok(())
    }

    /// Some rows of a pruned rollout may have been removed; the others say nothing then.
    fn is_about_pruned(&self, row: &EventItem) -> bool {
        let pruned = row.rollout_id.as_ref().is_some_and(|id| self.pruned.contains(id));
        pruned && !KEPT_KINDS.contains(&row.kind.as_str())
    }

    fn new_epoch(&mut self, row: &EventItem, epoch: CpEpoch) {
        self.core.write(Write::Epoch { epoch, since: row.at });
    }

    /// Rollouts that go on have the header of this release from now on.
    fn release_adopted(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let adopted: ReleaseAdopted = read(row)?;
        self.files.clone_from(&adopted.files);
        self.core.save_release(at(row.at), adopted, row.seq);
        let rollouts = self.core.fleet.rollouts.values();
        let kept: Vec<(RolloutId, Sha256Hash)> = rollouts
            .filter(|rollout| self.is_released(&rollout.id))
            .map(|rollout| (rollout.id.clone(), rollout.manifest.content_id))
            .collect();
        for (id, content_id) in kept {
            let manifest = self.manifest(&id, content_id)?;
            self.core.refresh_manifest(&id, manifest);
        }
        Ok(())
    }

    fn rollout_opened(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let (id, now) = (rollout(row)?, at(row.at));
        if row.payload.get("header").is_some() {
            let offered: RolloutOffered = read(row)?;
            let manifest = offered_manifest(&offered)?;
            self.core.add_history(now, manifest, offered.superseded_by, row.seq);
            return Ok(());
        }
        let opened: RolloutOpened = read(row)?;
        let manifest = self.manifest(id, opened.content_id)?;
        let hosts = self.hosts(id)?;
        for entry in &hosts {
            self.core.fleet.host_entry(&entry.host, now.mono);
        }
        self.core.add_rollout(now, opened.serial, manifest, &hosts, row.seq);
        Ok(())
    }

    fn rollout_state(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let id = rollout(row)?;
        let moved: RolloutMoved = read(row)?;
        let known = self.core.fleet.rollouts.get_mut(id).ok_or(Unfoldable::NoPlace)?;
        if known.state != moved.from {
            return Err(Unfoldable::Refused(format!("it is {}", known.state)));
        }
        known.state = moved.to;
        known.current_wave = moved.current_wave;
        known.frozen = moved.frozen;
        known.halt = moved.halt;
        known.finished_at = moved.finished_at;
        known.superseded_by = moved.superseded_by;
        let over = RolloutState::Superseded;
        if moved.to == over && moved.from != over {
            self.core.drop_untouched(id);
        }
        self.core.save_rollout(id, row.seq);
        Ok(())
    }

    fn dispatch_issued(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let issued: DispatchIssued = read(row)?;
        let lease = Lease {
            attempt: issued.attempt,
            no_change: issued.no_change,
            issued_at: row.at,
            expires_at: issued.expires_at,
            expires: NEVER,
        };
        self.core.open_lease(&self.place(row)?, lease, row.seq);
        Ok(())
    }

    fn control_fact(&mut self, row: &EventItem, fact: ControlFact) -> Result<(), Unfoldable> {
        let place = self.place(row)?;
        if !self.core.try_fact(at(row.at), &place, fact) {
            return Err(Unfoldable::Refused(fact.as_str().to_owned()));
        }
        self.core.save_placement(&place.0, &place.1, row.seq);
        Ok(())
    }

    /// With a header that was offered: the host has a place in it from now on. Otherwise the row after
    /// this one says what was concluded.
    fn host_recovered(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let Some(entry) = read::<HostRecovered>(row)?.entry else { return Ok(()) };
        let (id, now) = (rollout(row)?, at(row.at));
        self.core.fleet.host_entry(&entry.host, now.mono);
        self.core.place_host(now, id, entry, row.seq);
        Ok(())
    }

    fn event_refused(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let (place, refused) = (self.place(row)?, read::<EventRefused>(row)?);
        let entry =
            refused_form(&JournalEntry { seq: refused.seq, at: row.at, event: Event::Refused });
        self.core.fleet.change(&place.0, &place.1, |placement| {
            placement.journal.refused_before(
                refused.journal_id,
                &entry,
                &refused.reason,
                refused.head_if_accepted,
            );
            settle_refusal(placement, refused.attempt);
        });
        self.core.save_placement(&place.0, &place.1, row.seq);
        Ok(())
    }

    /// What a host reported, or what was concluded about it.
    fn event(&mut self, row: &EventItem) -> Result<(), Unfoldable> {
        let mut payload = row.payload.clone();
        if let Some(fields) = payload.as_object_mut() {
            fields.insert("kind".to_owned(), Value::from(row.kind.as_str()));
        }
        let event: Event = serde_json::from_value(payload)?;
        let place = self.place(row)?;
        if row.synthetic {
            if !self.core.try_conclude(at(row.at), &place, &event) {
                return Err(Unfoldable::Refused("what was concluded".to_owned()));
            }
            self.core.save_placement(&place.0, &place.1, row.seq);
            return Ok(());
        }
        let reported: Reported = read(row)?;
        let origin = if reported.replay { Origin::Replay } else { Origin::Live };
        let (now, entry) =
            (at(reported.received_at), JournalEntry { seq: reported.seq, at: row.at, event });
        self.core
            .try_fold(now, &place, origin, reported.journal_id, &entry)
            .map_err(Unfoldable::Refused)?;
        self.core.settle_fold(now, &place, &entry, origin, row.seq);
        Ok(())
    }

    /// The host and rollout of a row, whose record must be there.
    pub(super) fn place(&self, row: &EventItem) -> Result<Place, Unfoldable> {
        let (Some(id), Some(host)) = (&row.rollout_id, &row.host) else {
            return Err(Unfoldable::NoPlace);
        };
        self.known(id, host).then(|| (id.clone(), host.clone())).ok_or(Unfoldable::NoPlace)
    }

    fn known(&self, id: &RolloutId, host: &HostName) -> bool {
        self.core.fleet.placement(id, host).is_some()
    }
}

pub(super) fn rollout(row: &EventItem) -> Result<&RolloutId, Unfoldable> {
    row.rollout_id.as_ref().ok_or(Unfoldable::NoPlace)
}

pub(super) fn read<T: DeserializeOwned>(row: &EventItem) -> Result<T, Unfoldable> {
    Ok(T::deserialize(&row.payload)?)
}
