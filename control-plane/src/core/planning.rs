//! Carries the plan out: once after each batch, until there is nothing left to do.

use serde_json::json;
use wavegate_proto::time::Now;
use wavegate_reconciler::fleet::placement::{HeldSince, SkipReason};
use wavegate_reconciler::plan::{Action, Held, plan};
use wavegate_state_machine::host::{ControlFact, apply_fact};

use super::Core;
use super::input::Place;
use super::log::Fact;

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
                for held in plan.report.held {
                    self.note_held(now, held);
                }
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
        self.fleet.change(rollout_id, host, |placement| placement.lost = lost);
        let fact = Fact::own(now, kind, json!({})).about(rollout_id).on(host);
        let log_seq = self.note(fact);
        self.save_placement(now, rollout_id, host, log_seq);
        self.advance(now, rollout_id);
    }

    /// Leaves a host out, or takes it in again. A pending record becomes skipped; one in flight is
    /// marked beside its state.
    pub(super) fn set_skip(&mut self, now: Now, place: &Place, skip: Option<SkipReason>) {
        let (rollout_id, host) = place;
        let fact = if skip.is_some() { ControlFact::Skip } else { ControlFact::Unskip };
        self.fleet.change(rollout_id, host, |placement| {
            placement.skip = skip;
            // Refused for a record in flight: then the mark alone stands.
            let _ = apply_fact(&mut placement.record, fact, now.wall);
        });
        let payload = json!({ "skipped": skip.is_some(), "reason": skip });
        let fact = Fact::own(now, "host_skipped", payload).about(rollout_id).on(host);
        let log_seq = self.note(fact);
        self.save_placement(now, rollout_id, host, log_seq);
        self.advance(now, rollout_id);
    }

    /// Notes a gate when it is another than before: a host that waits adds nothing to the log (D6).
    fn note_held(&mut self, now: Now, held: Held) {
        let placement = self.fleet.rollouts.get_mut(&held.rollout_id);
        let Some(placement) = placement.and_then(|r| r.placements.get_mut(&held.host)) else {
            return;
        };
        let same = placement.held.as_ref().is_some_and(|h| h.hold.code() == held.hold.code());
        let since = match &placement.held {
            Some(before) if same => before.since,
            Some(_) | None => now.wall,
        };
        let payload = json!({ "gate": held.gate.as_str(), "code": held.hold.code() });
        placement.held = Some(HeldSince { hold: held.hold, since });
        if !same {
            let fact = Fact::own(now, "gate_changed", payload);
            self.note(fact.about(&held.rollout_id).on(&held.host));
        }
    }
}
