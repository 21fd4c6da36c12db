//! Carries the plan out: once after each batch, until there is nothing left to do.

use std::collections::BTreeSet;

use serde_json::json;
use wavegate_proto::ids::{LogSeq, RolloutId, WaveIndex};
use wavegate_proto::time::Now;
use wavegate_reconciler::fleet::placement::{HeldSince, Placement, SkipReason};
use wavegate_reconciler::plan::{Action, Held, Report, plan};
use wavegate_state_machine::host::{ControlFact, apply_fact};

use super::Core;
use super::input::Place;
use super::log::Fact;
use super::payload::{HostSkipped, logged};

/// A plan may open the way for another, at most once a wave; more rounds mean a bug.
const MAX_ROUNDS: usize = 200;

impl Core {
    pub(super) fn replan(&mut self, now: Now) {
        self.open_recovering_gate(now);
        self.expire_leases(now);
        self.retry_due(now);
        for id in std::mem::take(&mut self.touched) {
            self.advance(now, &id);
        }
        for _ in 0..MAX_ROUNDS {
            self.fleet.settle_silence(now.mono);
            let plan = plan(&self.fleet, now);
            if plan.actions.is_empty() {
                let opens_at = plan.report.earliest_at(&self.fleet, now);
                self.gates_open_at = opens_at.map(|at| now.mono_at(at));
                self.note_report(now, plan.report);
                return;
            }
            for action in plan.actions {
                self.carry_out(now, action);
            }
        }
    }

    /// Dispatching goes on: everybody has reported, or the time is up.
    fn open_recovering_gate(&mut self, now: Now) {
        let recovering = &mut self.fleet.recovering;
        let loaded = recovering.deadline.is_some();
        if recovering.opened_at.is_none() && loaded && !recovering.holds(now.mono) {
            recovering.opened_at = Some(now.mono);
        }
    }

    fn carry_out(&mut self, now: Now, action: Action) {
        match action {
            Action::Dispatch { rollout_id, host, no_change } => {
                self.issue(now, &(rollout_id.clone(), host), no_change);
                self.advance(now, &rollout_id);
            }
            Action::SkipOffline { rollout_id, host } => {
                self.set_skip(now, &(rollout_id, host), Some(SkipReason::Offline));
            }
            Action::Unskip { rollout_id, host } => self.set_skip(now, &(rollout_id, host), None),
            Action::MarkLost { rollout_id, host } => {
                self.set_lost(now, &(rollout_id, host), true, "host_lost");
            }
            Action::MarkFound { rollout_id, host } => {
                self.set_lost(now, &(rollout_id, host), false, "host_found");
            }
        }
    }

    fn set_lost(&mut self, now: Now, (rollout_id, host): &Place, lost: bool, kind: &'static str) {
        let fact = Fact::own(now, kind, json!({})).about(rollout_id).on(host);
        let log_seq = self.note(fact);
        let place = (rollout_id.clone(), host.clone());
        self.mark_lost(&place, lost, log_seq);
        // A host in flight that was left out counts again with its first contact (G7).
        let counts_again =
            |p: &Placement| !lost && p.is_in_flight() && p.skip == Some(SkipReason::Operator);
        if self.fleet.placement(rollout_id, host).is_some_and(counts_again) {
            self.set_skip(now, &place, None);
        }
        self.advance(now, rollout_id);
    }

    pub(super) fn mark_lost(&mut self, (rollout_id, host): &Place, lost: bool, log_seq: LogSeq) {
        self.fleet.change(rollout_id, host, |placement| placement.lost = lost);
        self.save_placement(rollout_id, host, log_seq);
    }

    /// Leaves a host out, or takes it in again. A pending record becomes skipped; one in flight is
    /// marked beside its state.
    pub(super) fn set_skip(&mut self, now: Now, place: &Place, skip: Option<SkipReason>) {
        let (rollout_id, host) = place;
        let by_operator = |placement: &Placement| placement.skip == Some(SkipReason::Operator);
        let changes_a_mark = self.fleet.placement(rollout_id, host).is_some_and(by_operator);
        let version = changes_a_mark.then(|| self.next_marks_version(now));
        let skipped = HostSkipped { skipped: skip.is_some(), cause: skip, by: None, version };
        let fact = Fact::own(now, "host_skipped", logged(&skipped)).about(rollout_id).on(host);
        let log_seq = self.note(fact);
        self.mark_skipped(now, place, skipped, log_seq);
        self.advance(now, rollout_id);
    }

    pub(super) fn mark_skipped(
        &mut self,
        now: Now,
        place: &Place,
        skipped: HostSkipped,
        log_seq: LogSeq,
    ) {
        // A host that is left out loses what it was given; one that is silent has nothing.
        if skipped.cause.is_some_and(|cause| cause != SkipReason::Offline) {
            self.close_lease(place, false);
        }
        let fact = if skipped.skipped { ControlFact::Skip } else { ControlFact::Unskip };
        let at = skipped.by.as_ref().map_or(now.wall, |by| by.at);
        self.fleet.change(&place.0, &place.1, |placement| {
            placement.skip = skipped.cause;
            placement.skip_by = skipped.by.map(Box::new);
            placement.skip_version = skipped.version.unwrap_or(placement.skip_version);
            // Refused for a record in flight: then the mark alone stands.
            let _ = apply_fact(&mut placement.record, fact, at);
        });
        self.save_placement(&place.0, &place.1, log_seq);
    }

    /// Notes gates that are others than before: whoever waits adds nothing to the log (D6).
    fn note_report(&mut self, now: Now, report: Report) {
        let waves_held: BTreeSet<(RolloutId, WaveIndex)> = report
            .held
            .iter()
            .filter(|held| held.host.is_none())
            .map(|held| (held.rollout_id.clone(), held.wave))
            .collect();
        for (id, rollout) in &mut self.fleet.rollouts {
            rollout.held.retain(|wave, _| waves_held.contains(&(id.clone(), *wave)));
        }
        for held in report.held {
            self.note_held(now, held);
        }
    }

    fn note_held(&mut self, now: Now, held: Held) {
        let Some(rollout) = self.fleet.rollouts.get_mut(&held.rollout_id) else { return };
        let before = match &held.host {
            Some(host) => rollout.placements.get(host).and_then(|p| p.held.as_deref()),
            None => rollout.held.get(&held.wave),
        };
        let same = before.filter(|before| before.hold.code() == held.hold.code());
        let (is_new, since) = (same.is_none(), same.map_or(now.wall, |before| before.since));
        let payload = json!({
            "gate": held.gate.as_str(), "code": held.hold.code(), "wave": held.wave,
        });
        let held_since = HeldSince { hold: held.hold, since };
        match &held.host {
            Some(host) => {
                if let Some(placement) = rollout.placements.get_mut(host) {
                    placement.held = Some(Box::new(held_since));
                }
            }
            None => drop(rollout.held.insert(held.wave, held_since)),
        }
        if is_new {
            let fact = Fact::own(now, "gate_changed", payload).about(&held.rollout_id);
            match &held.host {
                Some(host) => self.note(fact.on(host)),
                None => self.note(fact),
            };
        }
    }
}
