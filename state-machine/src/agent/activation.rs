//! From an accepted acknowledgement to soak, and from a failure to the prior closure.
//!
//! Not here: the verdict that a host has failed by its probes (see [`super::probes`]).

use wavegate_proto::event::{ActivationMethod, Event, FailureClass, FailurePolicy, cut_text};
use wavegate_proto::ids::{ClosureId, RolloutId};
use wavegate_proto::record::HostState;
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::{MAX_REJECTED, Rejected};

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::input::{Activated, ActivationOutcome, ProbeSchedule, RollbackOutcome, Verdict};
use super::track::{PendingAck, Track};

/// Why a rollback has nowhere to go (G1).
const PRIOR_UNKNOWN: &str = "prior-unknown";

impl AgentCore {
    /// G4: starts only within the lease, by the monotonic clock of the process that asked for it.
    pub(super) fn ack_accepted(&mut self, step: &mut Step<'_>, id: &RolloutId, ack: PendingAck) {
        if ack.deadline.is_some_and(|deadline| step.now.mono < deadline) {
            self.start(step, id);
        } else {
            self.lease_lapsed(step, id);
        }
    }

    fn start(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get(id) else { return };
        let Some(plan) = &track.plan else { return };
        let closure = plan.entry.closure.clone();
        let checks = plan.entry.checks;
        let method = match closure {
            ClosureId::Bundle(_) => ActivationMethod::Bundle,
            ClosureId::StorePath(_) => ActivationMethod::Switch,
        };
        if !self.append(step, id, Event::ActivationStarted { method }) {
            return;
        }
        let known = self.activated.iter().find(|a| a.closure == closure && a.checks == checks);
        let verdict = known.map_or(Verdict::Unproven, |known| known.verdict);
        let rollout_id = id.clone();
        self.remember(step, Activated { closure, checks, rollout_id, verdict });
        self.activate(step, id);
    }

    /// Begins or goes on; activating is idempotent.
    pub(super) fn activate(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(plan) = self.tracks.get(id).and_then(|track| track.plan.as_ref()) else { return };
        let (closure, checks) = (plan.entry.closure.clone(), plan.entry.checks);
        let policy = &plan.header.policy;
        let (timeout_secs, await_timeout_secs) =
            (policy.activation_timeout_secs, policy.await_timeout_secs);
        self.stop_probes(step);
        let rollout_id = id.clone();
        step.push(AgentEffect::Activate {
            rollout_id,
            closure,
            checks,
            timeout_secs,
            await_timeout_secs,
        });
    }

    pub(super) fn lease_lapsed(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        self.fail_untouched(step, id, "lease-lapsed");
    }

    /// The activation is over before anything on the host was changed.
    pub(super) fn fail_untouched(&mut self, step: &mut Step<'_>, id: &RolloutId, reason: &str) {
        let event = Event::ActivationFailed {
            class: FailureClass::Host,
            reason: reason.to_owned(),
            exit_code: None,
            stderr_tail: None,
            changed: false,
        };
        if self.append(step, id, event) {
            self.settle_failure(step, id);
        }
    }

    pub(super) fn activation_ended(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        outcome: ActivationOutcome,
    ) {
        let going_on = |track: &Track| match track.record.state {
            HostState::Activating => track.ack.is_none(),
            HostState::Deferred => true,
            HostState::Pending
            | HostState::Soaking
            | HostState::Converged
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => false,
        };
        if !self.tracks.get(id).is_some_and(going_on) {
            return step.log(format!("{id}: the end of an activation that is not going on"));
        }
        match outcome {
            ActivationOutcome::Complete { exit_code: 0, changed, probes } => {
                self.activation_complete(step, id, changed, probes);
            }
            ActivationOutcome::Complete { exit_code, changed: _, probes: _ } => {
                let class = FailureClass::Artifact;
                let reason = format!("the switch ended with exit code {exit_code}");
                self.activation_failed(step, id, (class, reason, Some(exit_code), None, true));
            }
            ActivationOutcome::Deferred { component } => {
                let component = cut_text(component);
                self.append(step, id, Event::ActivationDeferred { component });
            }
            ActivationOutcome::Failed { class, reason, exit_code, stderr_tail, changed } => {
                self.activation_failed(step, id, (class, reason, exit_code, stderr_tail, changed));
            }
        }
    }

    fn set_probes(&mut self, id: &RolloutId, probes: Vec<ProbeSchedule>) {
        if let Some(track) = self.tracks.get_mut(id) {
            track.probes = probes;
        }
    }

    pub(super) fn activation_complete(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        changed: bool,
        probes: Vec<ProbeSchedule>,
    ) {
        let Some(track) = self.tracks.get(id) else { return };
        let closure = track.record.target_closure.clone();
        self.current = Some(closure.clone());
        self.set_probes(id, probes);
        let event = Event::ActivationComplete { closure, exit_code: 0, changed };
        if self.append(step, id, event) {
            self.begin_probing(step, id, step.now.mono);
        }
    }

    fn activation_failed(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        (class, reason, exit_code, stderr_tail, changed): (
            FailureClass,
            String,
            Option<i32>,
            Option<String>,
            bool,
        ),
    ) {
        let changed = changed || self.has_switched(id);
        let event = Event::ActivationFailed {
            class,
            reason: cut_text(reason),
            exit_code,
            stderr_tail: stderr_tail.map(cut_text),
            changed,
        };
        if self.append(step, id, event) {
            self.settle_failure(step, id);
        }
    }

    /// Whether the target runs already: a process before this one has switched, and did not live to tell. What
    /// fails now changed nothing more, and is to be gone back from all the same.
    fn has_switched(&self, id: &RolloutId) -> bool {
        self.tracks.get(id).is_some_and(|track| {
            let record = &track.record;
            self.current.as_ref() == Some(&record.target_closure)
                && record.prior_closure.as_ref() != Some(&record.target_closure)
        })
    }

    /// What follows a failure: the rejection of a bad artifact on this host, and the way back.
    pub(super) fn settle_failure(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get(id) else { return };
        let Some(failure) = track.record.failure.clone() else { return };
        if failure.class == FailureClass::Artifact {
            self.reject_closure(step, id);
        }
        let Some(plan) = self.tracks.get(id).and_then(|track| track.plan.as_ref()) else { return };
        match plan.header.policy.on_health_failure {
            FailurePolicy::Halt => {}
            FailurePolicy::RollbackAndHalt if failure.changed => self.go_back(step, id),
            FailurePolicy::RollbackAndHalt => self.back_already(step, id),
        }
    }

    fn reject_closure(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get(id) else { return };
        let rejected = Rejected {
            channel: id.channel.clone(),
            closure: track.record.target_closure.clone(),
            rollout_id: id.clone(),
            attempt: track.record.attempt,
        };
        if self.rejected.contains(&rejected) {
            return;
        }
        if self.rejected.len() >= MAX_REJECTED {
            let oldest = self.rejected.remove(0);
            step.push(AgentEffect::Unreject(oldest));
        }
        self.rejected.push(rejected.clone());
        step.push(AgentEffect::Reject(rejected));
    }

    /// Nothing was changed, so the prior closure runs as it did.
    pub(super) fn back_already(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get(id) else { return };
        let closure = track.record.prior_closure.clone();
        self.append(step, id, Event::RollbackComplete { closure, exit_code: 0 });
        self.go_on_probing(step);
    }

    /// Begins the rollback, or goes on with it.
    pub(super) fn go_back(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        if let Some(reason) = self.no_way_back() {
            self.append(step, id, Event::RollbackFailed { reason });
            return;
        }
        let Some(track) = self.tracks.get(id) else { return };
        if !self.may_go_back_to(track) {
            let reason = PRIOR_UNKNOWN.to_owned();
            self.append(step, id, Event::RollbackFailed { reason });
            return;
        }
        let Some(plan) = &track.plan else { return };
        let to = track.record.prior_closure.clone();
        let timeout_secs = plan.header.policy.activation_timeout_secs;
        self.stop_probes(step);
        step.push(AgentEffect::Rollback { rollout_id: id.clone(), to, timeout_secs });
    }

    /// G1: a prior closure read from this system, activated by this agent, or named by a verified plan;
    /// never one that only a snapshot names.
    fn may_go_back_to(&self, track: &Track) -> bool {
        if track.own_prior {
            return true;
        }
        let Some(prior) = &track.record.prior_closure else {
            return false;
        };
        let planned = |t: &Track| t.plan.as_ref().is_some_and(|plan| plan.entry.closure == *prior);
        self.activated.iter().any(|a| a.closure == *prior) || self.tracks.values().any(planned)
    }

    pub(super) fn rollback_ended(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        outcome: RollbackOutcome,
    ) {
        let Some(track) = self.tracks.get(id).filter(|track| track.record.is_rolling_back()) else {
            return step.log(format!("{id}: the end of a rollback that is not going on"));
        };
        let event = match outcome {
            RollbackOutcome::Complete { closure, exit_code: 0 }
                if closure == track.record.prior_closure =>
            {
                self.current.clone_from(&closure);
                Event::RollbackComplete { closure, exit_code: 0 }
            }
            RollbackOutcome::Complete { closure, exit_code } => {
                let runs = closure.map_or_else(|| "nothing".to_owned(), |c| c.to_string());
                Event::RollbackFailed { reason: format!("exit code {exit_code}, {runs} runs") }
            }
            RollbackOutcome::Failed { reason } => {
                Event::RollbackFailed { reason: cut_text(reason) }
            }
        };
        self.append(step, id, event);
        self.go_on_probing(step);
    }

    /// When the lease of an acknowledgement that has no answer yet ends.
    pub(super) fn lease_ends(&self) -> impl Iterator<Item = Mono> {
        self.tracks.values().filter_map(|track| track.ack.and_then(|ack| ack.deadline))
    }
}
