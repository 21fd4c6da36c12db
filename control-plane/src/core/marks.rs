//! Operators' marks on hosts' disks: each host keeps its share of what restricts, and brings it back to a
//! control plane that has lost its database.
//!
//! A share is bound to its host and version by a MAC whose key lies outside the database (G11). It is
//! believed only until its host has been heard after a start; the newest one wins. Only what restricts
//! comes back: an abort as a pause; approvals and cleared quarantines are asked for again.
//!
//! Not here: setting marks (see [`super::verbs`]).

use std::collections::BTreeMap;

use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{HostName, LogSeq, RolloutId, Sha256Hash, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::{Marks, RolloutMarks, SealedMarks};
use wavegate_proto::wire::operator::{Hold, MarkBy, RolloutMark};
use wavegate_reconciler::fleet::host::Host;
use wavegate_reconciler::fleet::placement::{Placement, SkipReason};
use wavegate_reconciler::fleet::rollout::{Mark, Rollout};

use super::Core;
use super::input::Place;
use super::log::Fact;
use super::payload::{HostSkipped, MarkRestored, Restored, logged};
use super::rows::{MarkContent, MarkRow, Write};

impl Core {
    /// A host's share, when it keeps an older one.
    pub(super) fn newer_marks(&self, name: &HostName, kept: u64) -> Option<Marks> {
        let host = self.fleet.hosts.get(name)?;
        let records = self.fleet.records(name);
        let versions = records.map(|(rollout, p)| rollout.mark_version.max(p.skip_version));
        let changed_in = versions.max().unwrap_or(0).max(host.hold_version);
        (kept < changed_in).then(|| self.share_of(name, host.hold.as_deref().cloned()))
    }

    fn share_of(&self, name: &HostName, hold: Option<Hold>) -> Marks {
        let marked = |(rollout, placement): (&Rollout, &Placement)| {
            let left_out = placement.skip == Some(SkipReason::Operator);
            let marks = RolloutMarks {
                mark: rollout.mark.as_ref().map(|mark| mark.mark),
                mark_by: rollout.mark.as_ref().map(|mark| mark.by.clone()),
                skipped: left_out,
                skipped_by: placement.skip_by.as_deref().cloned().filter(|_| left_out),
            };
            (marks != RolloutMarks::default()).then(|| (rollout.id.clone(), marks))
        };
        let rollouts = self.fleet.records(name).filter_map(marked).collect();
        let version = self.marks_version;
        let mut sealed = SealedMarks { rollouts, hold, mac: Sha256Hash::default() };
        let mac = self.marks_mac(name, version, &sealed).finalize().into_bytes();
        sealed.mac = Sha256Hash(mac.into());
        let content = match serde_json::to_value(sealed) {
            Ok(serde_json::Value::Object(content)) => content,
            Ok(_) | Err(_) => serde_json::Map::new(),
        };
        Marks { version, content }
    }

    /// Takes back what a host kept while the control plane does not know better.
    pub(super) fn restore_marks(&mut self, now: Now, host: &HostName, kept: &Marks) {
        let recovering = &self.fleet.recovering;
        let believed = recovering.holds(now.mono) || recovering.unreported.contains(host);
        if !believed {
            return;
        }
        let content = serde_json::Value::Object(kept.content.clone());
        let Ok(sealed) = serde_json::from_value::<SealedMarks>(content) else { return };
        let mac = self.marks_mac(host, kept.version, &sealed);
        if mac.verify_slice(&sealed.mac.0).is_err() {
            if self.history.note_marks_refusal() {
                let payload = json!({ "version": kept.version });
                self.note(Fact::own(now, "marks_refused", payload).on(host));
            }
            return;
        }
        if kept.version > self.marks_version {
            self.marks_version = kept.version;
            self.write(Write::MarksVersion(kept.version));
        }
        self.restore_rollout_marks(now, host, kept.version, &sealed.rollouts);
        for (rollout_id, marks) in sealed.rollouts {
            if let Some(by) = marks.skipped_by.filter(|_| marks.skipped) {
                self.restore_skip(now, &(rollout_id, host.clone()), &by, kept.version);
            }
        }
        self.restore_hold(now, host, sealed.hold, kept.version);
    }

    /// Of several hosts' accounts of a rollout the newest counts, also when it says that nothing is
    /// marked any more.
    fn restore_rollout_marks(
        &mut self,
        now: Now,
        host: &HostName,
        version: u64,
        shares: &BTreeMap<RolloutId, RolloutMarks>,
    ) {
        let rollouts = self.fleet.records(host).map(|(rollout, _)| rollout);
        let open = rollouts.filter(|r| r.superseded_by.is_none()).map(|r| r.id.clone());
        let open: Vec<RolloutId> = open.collect();
        for id in open {
            let known = self.restored_marks.get(&id).copied().unwrap_or(0);
            let here = self.fleet.rollouts.get(&id).map_or(0, |rollout| rollout.mark_version);
            if version <= known.max(here) {
                continue;
            }
            self.restored_marks.insert(id.clone(), version);
            let share = shares.get(&id);
            let kept = share.and_then(|marks| marks.mark.zip(marks.mark_by.clone()));
            let kept = kept.map(|(mark, by)| Mark { mark, by });
            // What ended a rollout for good comes back as a pause: a person decides anew.
            let mark = kept.clone().map(|kept| Mark { mark: RolloutMark::Paused, ..kept });
            let before = self.fleet.rollouts.get(&id).and_then(|rollout| rollout.mark.clone());
            if before == mark || before == kept {
                continue;
            }
            let restored = Restored::Mark(mark.clone());
            let payload = MarkRestored { from_host: host.clone(), version, restored };
            let fact = Fact::own(now, "mark_restored", logged(&payload));
            let log_seq = self.note(fact.about(&id));
            self.set_mark(&id, mark, version, log_seq);
            self.withdraw_leases(now, &id);
        }
    }

    fn restore_skip(&mut self, now: Now, place: &Place, by: &MarkBy, version: u64) {
        let newer =
            |p: &Placement| p.skip_version < version && p.skip != Some(SkipReason::Operator);
        if !self.fleet.placement(&place.0, &place.1).is_some_and(newer) {
            return;
        }
        let restored = Restored::SkippedBy(by.clone());
        let payload = MarkRestored { from_host: place.1.clone(), version, restored };
        let fact = Fact::own(now, "mark_restored", logged(&payload)).about(&place.0).on(&place.1);
        let log_seq = self.note(fact);
        self.set_left_out(place, by.clone(), version, log_seq);
        self.leave_out_again(now, place);
        self.advance(now, &place.0);
    }

    /// The record of a host that a person left out is skipped, as it was, once its journal has told how
    /// it came there.
    pub(super) fn leave_out_again(&mut self, now: Now, place: &Place) {
        let Some(placement) = self.fleet.placement(&place.0, &place.1) else { return };
        let told =
            self.fleet.hosts.get(&place.1).is_some_and(|h| !h.replays.contains_key(&place.0));
        let settled = matches!(
            placement.record.state,
            HostState::Pending | HostState::Failed | HostState::Reverted
        );
        let left_out = placement.skip == Some(SkipReason::Operator);
        let Some(by) =
            placement.skip_by.as_deref().cloned().filter(|_| left_out && told && settled)
        else {
            return;
        };
        let cause = Some(SkipReason::Operator);
        let skipped = HostSkipped { skipped: true, cause, by: Some(by), version: None };
        let fact = Fact::own(now, "host_skipped", logged(&skipped)).about(&place.0).on(&place.1);
        let log_seq = self.note(fact);
        self.mark_skipped(now, place, skipped, log_seq);
    }

    fn restore_hold(&mut self, now: Now, name: &HostName, hold: Option<Hold>, version: u64) {
        let Some(hold) = hold.filter(|hold| hold.stands_at(now.wall)) else { return };
        let is_new =
            |host: &Host| host.hold_version < version && host.hold.as_deref() != Some(&hold);
        if !self.fleet.hosts.get(name).is_some_and(is_new) {
            return;
        }
        let restored = Restored::Hold(hold.clone());
        let payload = MarkRestored { from_host: name.clone(), version, restored };
        let fact = Fact::own(now, "mark_restored", logged(&payload));
        let log_seq = self.note(fact.on(name));
        self.set_hold(name, Some(hold), version, log_seq);
    }

    pub(super) fn set_mark(
        &mut self,
        id: &RolloutId,
        mark: Option<Mark>,
        version: u64,
        log_seq: LogSeq,
    ) {
        if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
            rollout.mark = mark.clone();
            rollout.mark_version = version;
        }
        let content = MarkContent::Rollout(id.clone(), mark);
        self.write(Write::Mark(MarkRow { content, version, log_seq }));
    }

    pub(super) fn set_approval(
        &mut self,
        id: &RolloutId,
        wave: WaveIndex,
        by: MarkBy,
        version: u64,
        log_seq: LogSeq,
    ) {
        if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
            rollout.approvals.insert(wave, by.clone());
        }
        let content = MarkContent::Approval(id.clone(), wave, by);
        self.write(Write::Mark(MarkRow { content, version, log_seq }));
    }

    pub(super) fn set_hold(
        &mut self,
        name: &HostName,
        hold: Option<Hold>,
        version: u64,
        log_seq: LogSeq,
    ) {
        if let Some(host) = self.fleet.hosts.get_mut(name) {
            host.hold = hold.clone().map(Box::new);
            host.hold_version = version;
        }
        let content = MarkContent::Hold(name.clone(), hold);
        self.write(Write::Mark(MarkRow { content, version, log_seq }));
    }

    /// A host is left out, whatever its record says for now.
    pub(super) fn set_left_out(
        &mut self,
        place: &Place,
        by: MarkBy,
        version: u64,
        log_seq: LogSeq,
    ) {
        self.fleet.change(&place.0, &place.1, |placement| {
            placement.skip = Some(SkipReason::Operator);
            placement.skip_by = Some(Box::new(by));
            placement.skip_version = version;
        });
        self.save_placement(&place.0, &place.1, log_seq);
    }

    /// A mark as it was stored.
    pub(super) fn restore_mark(&mut self, now: Now, row: MarkRow) {
        match row.content {
            MarkContent::Rollout(id, mark) => {
                if let Some(rollout) = self.fleet.rollouts.get_mut(&id) {
                    rollout.mark = mark;
                    rollout.mark_version = row.version;
                }
            }
            MarkContent::Approval(id, wave, by) => {
                if let Some(rollout) = self.fleet.rollouts.get_mut(&id) {
                    rollout.approvals.insert(wave, by);
                }
            }
            MarkContent::Hold(name, hold) => {
                let host = self.fleet.host_entry(&name, now.mono);
                host.hold = hold.map(Box::new);
                host.hold_version = row.version;
            }
        }
    }

    /// A host name holds no line break, so no two shares read the same.
    fn marks_mac(&self, host: &HostName, version: u64, sealed: &SealedMarks) -> Hmac<Sha256> {
        let said = json!({ "rollouts": sealed.rollouts, "hold": sealed.hold });
        let mut mac = self.echo_mac();
        mac.update(format!("wavegate marks\n{host}\n{version}\n").as_bytes());
        mac.update(&canonical_bytes(&said));
        mac
    }
}
