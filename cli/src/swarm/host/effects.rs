//! What the core wants done: written to memory, asked of the control plane, or pretended.
//!
//! Not here: what comes of it (see [`super::answers`]).

use std::time::Duration;

use wavegate_proto::ids::ClosureId;
use wavegate_state_machine::agent::AgentEffect;

use super::super::requests::{Happened, Work, after};
use super::Host;

impl Host {
    pub(super) fn perform(&mut self, effects: Vec<AgentEffect>) {
        for effect in effects {
            if !self.disk.write(&effect) {
                self.act(effect);
            }
        }
    }

    fn act(&mut self, effect: AgentEffect) {
        match effect {
            AgentEffect::Activate { rollout_id, closure, .. } => {
                self.begin(Work::Activating { rollout_id, closure });
            }
            AgentEffect::Rollback { rollout_id, to, .. } => {
                self.begin(Work::RollingBack { rollout_id, to });
            }
            AgentEffect::StartProbes { rollout_id, probes, .. } => {
                self.probing = Some((rollout_id, probes));
                self.probe_again();
            }
            AgentEffect::StopProbes => self.probing = None,
            AgentEffect::HeartbeatNow => self.heartbeat.due = tokio::time::Instant::now(),
            AgentEffect::OfferRollout { rollout_id, proof } => {
                let line = self.line();
                self.doing.push(line.offer(rollout_id, proof));
            }
            AgentEffect::FetchPlan { rollout_id } => {
                let line = self.line();
                self.doing.push(line.bootstrap(rollout_id));
            }
            // Nothing awaits another host here, and logs of thousands of agents are read by nobody.
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
            | AgentEffect::SettleOneWay { .. } => {}
        }
    }

    /// Begins to activate, with a download first, or to go back.
    pub(super) fn begin(&mut self, work: Work) {
        self.generation += 1;
        let closure = match &work {
            Work::Activating { closure: ClosureId::Bundle(blob), .. } => Some(*blob),
            Work::Activating { closure: ClosureId::StorePath(_), .. }
            | Work::RollingBack { .. } => None,
        };
        self.work = Some(work);
        match closure {
            Some(blob) => {
                let line = self.line();
                self.doing.push(line.closure(blob, self.generation));
            }
            None => self.take_time(),
        }
    }

    /// The work that was begun last ends after a while.
    pub(super) fn take_time(&mut self) {
        let share = 0.1 + 0.9 * self.rng.f64();
        let time = self.shared.behaviour.activation.mul_f64(share);
        self.doing.push(after(time, Happened::WorkDone { generation: self.generation }));
    }

    /// Every probe begins anew, each at its own moment.
    pub(super) fn probe_again(&mut self) {
        self.probing_generation += 1;
        let generation = self.probing_generation;
        let Some((_, probes)) = &self.probing else { return };
        for (index, probe) in probes.iter().enumerate() {
            let delay = Duration::from_secs(probe.interval_secs.min(2)).mul_f64(self.rng.f64());
            self.doing.push(after(delay, Happened::ProbeDue { generation, index }));
        }
    }
}
