//! Going on after a restart: the journals are the truth, the records are folded from them again.
//!
//! Not here: a host whose journals are gone (see [`super::bootstrap`]).

use wavegate_proto::event::{DeclaredProbe, Event};
use wavegate_proto::ids::RolloutId;
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::{Mono, Now};

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::input::{
    Activated, Answer, JournalIds, ProbeSchedule, Restored, StoredJournal, Verdict,
};
use super::track::{PendingAck, Track};

/// The schedule of a probe whose closure is not at hand, in seconds: the defaults of a bundle.
const STAND_IN_INTERVAL_SECS: u64 = 15;
const STAND_IN_TIMEOUT_SECS: u64 = 5;

impl AgentCore {
    /// The core as it was when the process ended, and what must be done to go on.
    pub fn restore(
        now: Now,
        restored: Restored,
        ids: &mut dyn JournalIds,
    ) -> (Self, Vec<AgentEffect>) {
        let Restored { host, boot_id, meta, mut journals, activated, rejected, current, one_way } =
            restored;
        // An older rollout's journal may have begun anew since: that does not make it the newest.
        journals.sort_by_key(|journal| journal.plan.as_ref().map(|plan| plan.header.serial));
        let mut core = Self::empty(host, boot_id, meta, current);
        core.activated = activated;
        core.rejected = rejected;
        core.one_way = one_way;
        let mut step = Step { now, ids, effects: Vec::new() };
        let mut order = Vec::new();
        for journal in journals {
            order.push(journal.rollout_id.clone());
            core.load(&mut step, journal);
        }
        core.leave_behind_at_start(&mut step);
        for id in &order {
            core.go_on(&mut step, id);
        }
        core.go_on_probing(&mut step);
        core.judge_health(&mut step);
        (core, step.effects)
    }

    fn load(&mut self, step: &mut Step<'_>, journal: StoredJournal) {
        let StoredJournal { rollout_id, journal_id, proof, plan, probes, entries } = journal;
        let Some(plan) = plan else {
            if proof.is_some() {
                return step.log(format!("{rollout_id}: its plan no longer verifies; left alone"));
            }
            // It only held the rejection of a dispatch, which has lapsed by now.
            return step.push(AgentEffect::DropJournal { rollout_id });
        };
        let record = HostRecord::pending(
            rollout_id.clone(),
            self.host.clone(),
            plan.entry.wave,
            plan.entry.closure.clone(),
            entries.first().map_or(step.now.wall, |stored| stored.entry.at),
        );
        let mut track = Track::new(self.next_order(), journal_id, record, Some(plan), proof);
        track.load(entries);
        track.probes = if probes.is_empty() { stand_ins(&track.record) } else { probes };
        self.tracks.insert(rollout_id, track);
    }

    /// What a rollout needs that was going on.
    fn go_on(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get_mut(id).filter(|track| track.plan.is_some()) else {
            return;
        };
        match track.record.state {
            HostState::Activating => self.go_on_activating(step, id),
            HostState::Deferred => {
                if self.current.as_ref() == Some(&track.record.target_closure) {
                    let probes = track.probes.clone();
                    self.activation_complete(step, id, true, probes);
                }
            }
            HostState::Failed if track.record.is_rolling_back() => self.settle_failure(step, id),
            HostState::Converged => self.remember_converged(step, id),
            HostState::Pending
            | HostState::Soaking
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => {}
        }
    }

    /// G4: an acknowledgement that was accepted and not followed by a start has lapsed; one without an
    /// answer will have when it comes.
    fn go_on_activating(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get_mut(id) else { return };
        let attempt = track.record.attempt;
        let ack = track.entries.iter().rev().find(|stored| {
            matches!(&stored.entry.event, Event::DispatchAck { attempt: a, .. } if *a == attempt)
        });
        let unanswered = ack.filter(|stored| stored.answer == Answer::Unanswered);
        if track.record.activation_started_at.is_some() {
            self.activate(step, id);
        } else if let Some(stored) = unanswered {
            track.ack = Some(PendingAck { seq: stored.entry.seq, deadline: None });
        } else {
            self.lease_lapsed(step, id);
        }
    }

    fn remember_converged(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get(id) else { return };
        let Some(plan) = &track.plan else { return };
        let (closure, checks) = (plan.entry.closure.clone(), plan.entry.checks);
        let known = |a: &Activated| {
            a.closure == closure && a.checks == checks && a.verdict == Verdict::Converged
        };
        if !self.activated.iter().any(known) && !track.has_unanswered_carry() {
            let (rollout_id, verdict) = (id.clone(), Verdict::Converged);
            self.remember(step, Activated { closure, checks, rollout_id, verdict });
        }
    }

    /// Probes what soaks, else what converged last and still runs, or runs again after a rollback.
    pub(super) fn go_on_probing(&mut self, step: &mut Step<'_>) {
        if self.session.is_some() {
            return;
        }
        let runs = |t: &&Track| self.current.as_ref() == Some(&t.record.target_closure);
        let probed = |t: &&Track| match t.record.state {
            HostState::Soaking => true,
            HostState::Converged => !t.has_unanswered_carry(),
            HostState::Pending
            | HostState::Activating
            | HostState::Deferred
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => false,
        };
        let verified = self.tracks.values().filter(|t| t.plan.is_some());
        let newest = verified
            .filter(runs)
            .filter(probed)
            .max_by_key(|t| (t.record.state == HostState::Soaking, t.order));
        let going_on = self.tracks.values().any(|t| t.is_changing_the_host());
        if let Some(track) = newest.filter(|_| !going_on) {
            let id = track.record.rollout_id.clone();
            let soak_from = self.soak_from(track, step.now.mono);
            self.begin_probing(step, &id, soak_from);
        }
    }

    /// When the activation was complete, by the clock of this boot; else now, so that soak is never
    /// shorter than the plan says.
    fn soak_from(&self, track: &Track, now: Mono) -> Mono {
        let complete = track
            .entries
            .iter()
            .rev()
            .find(|stored| matches!(stored.entry.event, Event::ActivationComplete { .. }));
        match complete {
            Some(stored) if stored.written.boot_id == self.boot_id => stored.written.mono.min(now),
            Some(_) | None => now,
        }
    }
}

/// Where the closure is not at hand, its declared probes stand as the journal has them: they will not
/// report, and that counts (E20).
fn stand_ins(record: &HostRecord) -> Vec<ProbeSchedule> {
    let stand_in = |p: &wavegate_proto::record::ProbeRecord| ProbeSchedule {
        declared: DeclaredProbe { name: p.name.clone(), kind: p.kind, mode: p.mode },
        interval_secs: STAND_IN_INTERVAL_SECS,
        timeout_secs: STAND_IN_TIMEOUT_SECS,
    };
    record.probes.iter().map(stand_in).collect()
}
