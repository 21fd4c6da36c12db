//! Moves rollouts on when their hosts have moved: waves, halts, freezes, ends.

use serde_json::json;
use wavegate_proto::ids::{HostName, LogSeq, RolloutId, WaveIndex};
use wavegate_proto::time::Now;
use wavegate_proto::wire::operator::{Halt, RolloutMark, RolloutState};
use wavegate_reconciler::fleet::rollout::Rollout;
use wavegate_state_machine::rollout::{RolloutEvent, next_event, step};

use super::Core;
use super::log::Fact;
use super::payload::{RolloutMoved, WaveStarted, logged};
use super::quarantine::nth_failure_over_limit;

impl Core {
    /// Moves a rollout on as far as its hosts allow. Called in the same step that changed a host, so
    /// that nothing more is dispatched the moment a rollout fails (E1).
    pub(super) fn advance(&mut self, now: Now, id: &RolloutId) {
        while let Some(rollout) = self.fleet.rollouts.get(id) {
            let state = rollout.state;
            let Some(event) = next_event(state, &rollout.tally()) else { break };
            let Ok(to) = step(state, event) else { break };
            self.enter(now, id, to, event);
        }
        self.note_cursor(now, id);
        self.settle_halt(now, id);
        self.settle_freeze(now, id);
    }

    /// Enters a state, with what comes with it.
    pub(super) fn enter(
        &mut self,
        now: Now,
        id: &RolloutId,
        to: RolloutState,
        event: RolloutEvent,
    ) {
        let Some(rollout) = self.fleet.rollouts.get_mut(id) else { return };
        let from = std::mem::replace(&mut rollout.state, to);
        match event {
            RolloutEvent::FailuresExceeded | RolloutEvent::Aborted => {
                self.withdraw_leases(now, id);
            }
            RolloutEvent::AllDone => {
                self.finish(now, id);
                self.serve_every_wave(id);
            }
            RolloutEvent::RollbacksDone => self.finish(now, id),
            RolloutEvent::WaveStarted => self.start_next_wave(now, id),
            RolloutEvent::FirstDispatch
            | RolloutEvent::WaveDone
            | RolloutEvent::Resumed
            | RolloutEvent::Superseded
            | RolloutEvent::Pruned => {}
        }
        self.note_moved(now, id, from, event.as_str());
    }

    /// Notes where a rollout stands now, and why.
    pub(super) fn note_moved(
        &mut self,
        now: Now,
        id: &RolloutId,
        from: RolloutState,
        reason: &str,
    ) {
        let Some(rollout) = self.fleet.rollouts.get(id) else { return };
        let moved = RolloutMoved {
            from,
            to: rollout.state,
            reason: reason.to_owned(),
            current_wave: rollout.current_wave,
            frozen: rollout.frozen,
            halt: rollout.halt.clone(),
            finished_at: rollout.finished_at,
            superseded_by: rollout.superseded_by.clone(),
        };
        let log_seq = self.note(Fact::own(now, "rollout_state", logged(&moved)).about(id));
        self.save_rollout(id, log_seq);
    }

    fn finish(&mut self, now: Now, id: &RolloutId) {
        if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
            rollout.finished_at = Some(now.wall);
        }
    }

    /// Late hosts of every wave are served from now on.
    fn serve_every_wave(&mut self, id: &RolloutId) {
        if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
            let last = u32::try_from(rollout.waves().len().saturating_sub(1)).unwrap_or(u32::MAX);
            rollout.current_wave = WaveIndex(last);
        }
    }

    fn start_next_wave(&mut self, now: Now, id: &RolloutId) {
        let Some(rollout) = self.fleet.rollouts.get(id) else { return };
        let wave = rollout.current_wave.next();
        self.note_wave(now, id, wave);
    }

    /// Notes that a wave has become the current one.
    pub(super) fn note_wave(&mut self, now: Now, id: &RolloutId, wave: WaveIndex) {
        let payload = logged(&WaveStarted { wave });
        let log_seq = self.note(Fact::own(now, "wave_started", payload).about(id));
        self.begin_wave(now, id, wave, log_seq);
    }

    pub(super) fn begin_wave(
        &mut self,
        now: Now,
        id: &RolloutId,
        wave: WaveIndex,
        log_seq: LogSeq,
    ) {
        if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
            rollout.current_wave = wave;
        }
        self.save_wave(now, id, log_seq);
    }

    /// Withdraws every open dispatch of a rollout, in the same transaction (E11).
    pub(super) fn withdraw_leases(&mut self, now: Now, id: &RolloutId) {
        let Some(rollout) = self.fleet.rollouts.get(id) else { return };
        let leased = rollout.placements.iter().filter(|(_, p)| p.lease.is_some());
        let hosts: Vec<HostName> = leased.map(|(host, _)| host.clone()).collect();
        for host in hosts {
            let place = (id.clone(), host);
            let fact = Fact::own(now, "dispatch_withdrawn", json!({})).about(id).on(&place.1);
            let log_seq = self.note(fact);
            self.withdraw_lease(&place, log_seq);
        }
    }

    /// Why a rollout halted is always told by the failure that exceeded the limit, in the order in
    /// which hosts failed: so it reads the same after a replay. A terminal rollout whose late hosts
    /// fail stays terminal and shows the halt (G16).
    fn settle_halt(&mut self, now: Now, id: &RolloutId) {
        let Some(rollout) = self.fleet.rollouts.get(id) else { return };
        let aborted = rollout.mark.as_ref().is_some_and(|mark| mark.mark == RolloutMark::Aborted);
        let halt = rollout.wave_over_limit().and_then(|wave| halt_of(rollout, wave));
        if aborted || halt.is_none() || halt == rollout.halt {
            return;
        }
        let state = rollout.state;
        if let Some(rollout) = self.fleet.rollouts.get_mut(id) {
            rollout.halt = halt;
        }
        self.note_moved(now, id, state, "halted");
        self.withdraw_leases(now, id);
    }

    fn settle_freeze(&mut self, now: Now, id: &RolloutId) {
        let Some(rollout) = self.fleet.rollouts.get_mut(id) else { return };
        let frozen = rollout.is_open() && rollout.should_freeze();
        if rollout.frozen == frozen {
            return;
        }
        rollout.frozen = frozen;
        let state = rollout.state;
        self.note_moved(now, id, state, if frozen { "frozen" } else { "thawed" });
    }

    /// Settles the cursor; where it moves there is a row for it, so that a rebuild and a restart find it there.
    fn note_cursor(&mut self, now: Now, id: &RolloutId) {
        let cursor = |core: &Self| core.fleet.rollouts.get(id).map(|r| (r.current_wave, r.state));
        let before = cursor(self);
        self.settle_cursor(id);
        if let (Some((from, state)), Some((to, _))) = (before, cursor(self))
            && from != to
        {
            self.note_moved(now, id, state, "wave_reached");
        }
    }

    /// Where a rollout that does not go on stands: a halted one in the wave it could not finish, a
    /// superseded one in the last wave that was started. Judged from the records alone, so it reads
    /// the same after a wiped database, whoever reports first.
    pub(super) fn settle_cursor(&mut self, id: &RolloutId) {
        let Some(rollout) = self.fleet.rollouts.get_mut(id) else { return };
        match rollout.state {
            RolloutState::Failed | RolloutState::Reverted => {
                while rollout.tally().next_wave_started {
                    rollout.current_wave = rollout.current_wave.next();
                }
            }
            RolloutState::Superseded => {
                let indices = (0..).map(WaveIndex);
                let touched = rollout.waves().iter().zip(indices).filter(|(w, _)| w.is_touched());
                rollout.current_wave = touched.last().map_or(WaveIndex(0), |(_, index)| index);
            }
            RolloutState::Opening
            | RolloutState::Active
            | RolloutState::Converging
            | RolloutState::Terminal
            | RolloutState::Pruned => {}
        }
    }
}

fn halt_of(rollout: &Rollout, wave: WaveIndex) -> Option<Halt> {
    let failure = nth_failure_over_limit(rollout, wave, |p| !p.is_forgiven())?;
    Some(Halt { reason: failure.reason, host: Some(failure.host), at: failure.at })
}
