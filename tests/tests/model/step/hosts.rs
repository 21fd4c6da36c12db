//! What happens on hosts.

use std::collections::VecDeque;

use uuid::Uuid;
use wavegate_control_plane::core::{Answer, Input};
use wavegate_proto::event::{Event, FailureClass, ProbeOutcome};
use wavegate_proto::ids::{BootId, ClosureId, RolloutId};
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentCore, AgentEffect, AgentInput, OfferOutcome, RollbackOutcome,
};
use wavegate_tests::sim::{INFRA_FAILURE, Ids, Work, probes};

use super::Step;
use crate::action::Outcome;
use crate::state::{At, Poll};

impl Step<'_> {
    pub(super) fn start_agent(&mut self, at: At) {
        let (now, setup) = (self.state.host_now(), self.setup);
        let host = self.host(at);
        let boot_id = BootId(Uuid::from_u128(u128::from(host.boots)));
        // The stored proof verifies to the same plan each time.
        let name = host.name.clone();
        let verify = |proof: &RolloutProof| Some(setup.plan_of(&name, proof).clone());
        let restored = host.disk.restored(name.clone(), boot_id, &probes(), verify);
        let mut ids = next_ids(at, host.journals);
        let (agent, effects) = AgentCore::restore(now, restored, &mut Ids(&mut ids));
        host.journals = journals(at, ids);
        host.agent = Some(agent);
        host.owes_heartbeat = true;
        self.perform(at, effects);
    }

    /// The machine starts anew, and with it what was staged.
    pub(super) fn reboot(&mut self, at: At) {
        self.crash_agent(at);
        let host = self.host(at);
        host.boots += 1;
        let staged = host.staged.take();
        self.runs(at, staged);
    }

    pub(super) fn crash_agent(&mut self, at: At) {
        let host = self.host(at);
        host.agent = None;
        host.work = None;
        host.probing = None;
        host.poll = Poll::Idle;
        host.owes_heartbeat = false;
        host.last_posted = None;
        let name = host.name.clone();
        if let Some(process) = &mut self.control().process {
            process.requests.retain(|_, (waiting, _)| *waiting != name);
        }
    }

    pub(super) fn input(&mut self, at: At, input: AgentInput) {
        let now = self.state.host_now();
        let host = self.host(at);
        let Some(agent) = &mut host.agent else { return };
        let mut ids = next_ids(at, host.journals);
        let effects = agent.handle(now, input, &mut Ids(&mut ids));
        host.journals = journals(at, ids);
        self.perform(at, effects);
    }

    /// Performs effects in order, and then what follows from them.
    pub(super) fn perform(&mut self, at: At, effects: Vec<AgentEffect>) {
        let mut follows = VecDeque::new();
        for effect in effects {
            if let Some((victim, after)) = &mut self.cut
                && *victim == at
            {
                if *after == 0 {
                    self.died = true;
                    self.crash_agent(at);
                    return;
                }
                *after -= 1;
            }
            self.note_effect(at, &effect);
            if !self.host(at).disk.write(&effect) {
                follows.extend(self.act(at, effect));
            }
        }
        for input in follows {
            self.input(at, input);
        }
    }

    pub(super) fn act(&mut self, at: At, effect: AgentEffect) -> Option<AgentInput> {
        let host = self.host(at);
        match effect {
            AgentEffect::Activate { rollout_id, closure, .. } => {
                host.work = Some(Work::Activating { rollout_id, closure });
            }
            AgentEffect::Rollback { rollout_id, to, .. } => {
                host.work = Some(Work::RollingBack { rollout_id, to });
            }
            AgentEffect::StartProbes { rollout_id, .. } => host.probing = Some((rollout_id, None)),
            AgentEffect::StopProbes => host.probing = None,
            AgentEffect::HeartbeatNow => host.owes_heartbeat = true,
            AgentEffect::OfferRollout { rollout_id, proof } => {
                return Some(self.offer(at, rollout_id, proof));
            }
            AgentEffect::FetchPlan { rollout_id } => {
                let current = host.disk.running.clone();
                let plan = Ok(self.setup.plan(&self.state.hosts[at].name, &rollout_id).clone());
                return Some(AgentInput::BootstrapPlan { rollout_id, plan, current });
            }
            AgentEffect::Satisfied(_) | AgentEffect::Log { .. } => {}
            AgentEffect::OpenJournal { .. }
            | AgentEffect::AttachProof { .. }
            | AgentEffect::Append { .. }
            | AgentEffect::MarkAnswered { .. }
            | AgentEffect::DropJournal { .. }
            | AgentEffect::SaveMeta(_)
            | AgentEffect::RememberActivated(_)
            | AgentEffect::Reject(_)
            | AgentEffect::Unreject(_)
            | AgentEffect::SettleOneWay { .. } => unreachable!("written"),
        }
        None
    }

    pub(super) fn offer(
        &mut self,
        at: At,
        rollout_id: RolloutId,
        proof: RolloutProof,
    ) -> AgentInput {
        let host = self.state.hosts[at].name.clone();
        let plan = Box::new(self.setup.plan(&host, &rollout_id).plan.clone());
        let proof = Box::new(proof);
        let taken = match self.ask(|reply| Input::OfferRollout { host, plan, proof, reply }) {
            Some(Answer::Offered) => OfferOutcome::Taken,
            _ => OfferOutcome::NotTaken,
        };
        AgentInput::RolloutOffered { rollout_id, taken }
    }

    pub(super) fn end_work(&mut self, at: At, how: Outcome) {
        let Some(work) = self.host(at).work.take() else { return };
        let input = match work {
            Work::Activating { rollout_id, closure } => {
                let outcome = self.activated(at, how, closure);
                AgentInput::ActivationEnded { rollout_id, outcome }
            }
            Work::RollingBack { rollout_id, to } => {
                self.runs(at, to.clone());
                let outcome = RollbackOutcome::Complete { closure: to, exit_code: 0 };
                AgentInput::RollbackEnded { rollout_id, outcome }
            }
        };
        self.input(at, input);
    }

    pub(super) fn activated(
        &mut self,
        at: At,
        how: Outcome,
        closure: ClosureId,
    ) -> ActivationOutcome {
        let failed = |class, reason: &str, changed| ActivationOutcome::Failed {
            class,
            reason: reason.to_owned(),
            exit_code: None,
            stderr_tail: None,
            changed,
        };
        match how {
            Outcome::Done => {
                let changed = self.state.hosts[at].disk.running.as_ref() != Some(&closure);
                self.runs(at, Some(closure));
                ActivationOutcome::Complete { exit_code: 0, changed, probes: probes() }
            }
            Outcome::Infra => {
                self.state.left.infra -= 1;
                failed(INFRA_FAILURE.0, INFRA_FAILURE.1, false)
            }
            Outcome::Deferred => {
                self.state.left.deferred -= 1;
                self.host(at).staged = Some(closure);
                ActivationOutcome::Deferred { component: "kernel".to_owned() }
            }
            Outcome::Broken => {
                self.state.left.broken -= 1;
                failed(FailureClass::Artifact, "broken", true)
            }
        }
    }

    pub(super) fn runs(&mut self, at: At, closure: Option<ClosureId>) {
        let host = self.host(at);
        // What fell sick is what ran.
        host.sick &= host.disk.running == closure;
        host.disk.running = closure;
        // Whatever was staged before is not what is to run any more.
        host.staged = None;
    }

    pub(super) fn probe(&mut self, at: At) {
        let host = self.host(at);
        let outcome = host.outcome();
        let Some((rollout_id, told)) = &mut host.probing else { return };
        *told = Some(outcome);
        let rollout_id = rollout_id.clone();
        host.truth.passed |= outcome == ProbeOutcome::Pass;
        let name = probes()[0].declared.name.clone();
        let reason = (outcome == ProbeOutcome::Fail).then(|| "exit code 1".to_owned());
        let sub_results = Vec::new();
        self.input(
            at,
            AgentInput::ProbeReported { rollout_id, name, outcome, reason, sub_results },
        );
    }

    /// What really happened, for the judge.
    pub(super) fn note_effect(&mut self, at: At, effect: &AgentEffect) {
        match effect {
            AgentEffect::Activate { rollout_id, closure, .. } => {
                self.judge_activation(at, rollout_id, closure);
                self.host(at).truth.passed = false;
            }
            AgentEffect::Rollback { to: Some(closure), .. } => self.judge_closure(at, closure),
            AgentEffect::Append { rollout_id, entry, .. } => match entry.event {
                Event::Converged { .. } => {
                    self.judge_converged(at);
                    self.host(at).truth.done.insert(rollout_id.clone());
                }
                Event::Carried { .. } | Event::ActivationDeferred { .. } => {
                    self.host(at).truth.done.insert(rollout_id.clone());
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Each host numbers its journals itself, so that ids do not depend on the order among hosts.
fn next_ids(at: At, journals: u64) -> u128 {
    ((at as u128 + 1) << 64) + u128::from(journals)
}

fn journals(at: At, ids: u128) -> u64 {
    u64::try_from(ids - ((at as u128 + 1) << 64)).unwrap()
}
