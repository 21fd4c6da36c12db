//! Going on after the disk was lost: the control plane's snapshots of this host's open rollouts.
//!
//! G1: a snapshot names no closure to run and starts no action. What the host should run comes from a
//! verified plan; where nothing certain is known, that is what is reported. What the host holds itself is
//! never overwritten (D5).

use wavegate_proto::event::{Event, FailureClass, FailurePolicy};
use wavegate_proto::ids::RolloutId;
use wavegate_proto::record::{HostRecord, HostState, Rollback};

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::input::{OfferedPlan, Rejection};

/// The most snapshots taken at a time.
const MAX_SNAPSHOTS: usize = 16;

impl AgentCore {
    pub(super) fn take_snapshots(&mut self, step: &mut Step<'_>, snapshots: Vec<HostRecord>) {
        for snapshot in snapshots {
            let id = snapshot.rollout_id.clone();
            let known = self.tracks.contains_key(&id) || self.bootstrap.contains_key(&id);
            // A journal cannot begin with either: there would be nothing to keep, at every heartbeat anew.
            let begun = !matches!(snapshot.state, HostState::Pending | HostState::Skipped);
            let ours = begun && snapshot.host == self.host;
            if ours && !known && self.bootstrap.len() < MAX_SNAPSHOTS {
                self.bootstrap.insert(id.clone(), snapshot);
                step.push(AgentEffect::FetchPlan { rollout_id: id });
            }
        }
    }

    pub(super) fn bootstrap_plan(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        plan: Result<OfferedPlan, Rejection>,
    ) {
        let Some(snapshot) = self.bootstrap.remove(id) else {
            return step.log(format!("{id}: a plan nobody asked for"));
        };
        if self.tracks.contains_key(id) {
            return step.log(format!("{id}: the host holds its own journal"));
        }
        let offered = match plan {
            Ok(offered) => offered,
            Err(rejection) => return step.log(format!("{id}: not taken: {}", rejection.reason)),
        };
        if let Some(problem) = self.objection(&snapshot, &offered) {
            return step.log(format!("{id}: not taken: {problem}"));
        }
        let (state, runs_target) =
            (snapshot.state, self.current.as_ref() == Some(&snapshot.target_closure));
        self.open_verified(step, id, offered);
        if !self.append(step, id, Event::JournalOpened { snapshot: Box::new(snapshot) }) {
            self.tracks.remove(id);
            return step.push(AgentEffect::DropJournal { rollout_id: id.clone() });
        }
        match state {
            HostState::Activating => self.state_lost(step, id),
            HostState::Deferred if runs_target => {
                let probes = self.tracks.get(id).map(|t| t.probes.clone()).unwrap_or_default();
                self.activation_complete(step, id, true, probes);
            }
            HostState::Soaking | HostState::Converged if runs_target => {
                self.begin_probing(step, id, step.now.mono);
            }
            HostState::Failed => self.back_or_unknown(step, id),
            HostState::Pending
            | HostState::Deferred
            | HostState::Soaking
            | HostState::Converged
            | HostState::Reverted
            | HostState::Skipped => {}
        }
    }

    fn objection(&self, snapshot: &HostRecord, offered: &OfferedPlan) -> Option<&'static str> {
        let plan = &offered.plan;
        let runs_target = self.current.as_ref() == Some(&snapshot.target_closure);
        if plan.entry.host != self.host || plan.header.rollout_id() != snapshot.rollout_id {
            Some("the plan is of another host or rollout")
        } else if plan.entry.closure != snapshot.target_closure || plan.entry.wave != snapshot.wave
        {
            Some("the snapshot is not what the plan says")
        } else if snapshot.state == HostState::Soaking && !runs_target {
            Some("it soaks what this host does not run")
        } else if offered.probes.is_none() && runs_target {
            Some("the probes of its closure are not at hand")
        } else {
            None
        }
    }

    /// An activation of which nothing is left that could say how it went.
    fn state_lost(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let event = Event::ActivationFailed {
            class: FailureClass::Host,
            reason: "state-lost".to_owned(),
            exit_code: None,
            stderr_tail: None,
            changed: false,
        };
        if self.append(step, id, event) {
            self.back_or_unknown(step, id);
        }
    }

    /// Says whether the prior closure runs; does nothing to make it so.
    fn back_or_unknown(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let Some(track) = self.tracks.get(id) else { return };
        let policy = track.plan.as_ref().map(|plan| plan.header.policy.on_health_failure);
        let due = track.record.failure.as_ref().is_some_and(|f| f.rollback == Rollback::Running);
        if policy != Some(FailurePolicy::RollbackAndHalt) || !due {
            return;
        }
        if self.current == track.record.prior_closure {
            self.back_already(step, id);
        } else {
            let reason = "prior-unknown".to_owned();
            self.append(step, id, Event::RollbackFailed { reason });
        }
    }
}
