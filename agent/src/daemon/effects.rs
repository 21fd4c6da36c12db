//! Acting on what the core wants done, once it is durable. Nothing here waits: each action gets a
//! task of its own, and its end is told to the reducer.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use wavegate_state_machine::agent::AgentEffect;

use super::probing::ProbeSession;
use super::shell::Shell;
use super::{activate, offer, plan, probing};

pub(super) struct Actor {
    shell: Arc<Shell>,
    tasks: TaskTracker,
    probes: Option<ProbeSession>,
}

impl Actor {
    pub(super) fn new(shell: Arc<Shell>, tasks: TaskTracker) -> Self {
        Self { shell, tasks, probes: None }
    }

    pub(super) fn more_to_post(&self) {
        self.shell.more_to_post.notify_one();
    }

    pub(super) fn act(&mut self, effect: AgentEffect) {
        let shell = Arc::clone(&self.shell);
        match effect {
            AgentEffect::Activate { rollout_id, closure, timeout_secs, await_timeout_secs } => {
                let limits = activate::limits(timeout_secs, await_timeout_secs);
                self.spawn(activate::activate(shell, rollout_id, closure, limits));
            }
            AgentEffect::Rollback { rollout_id, to, timeout_secs } => {
                let limits = activate::limits(timeout_secs, timeout_secs);
                self.spawn(activate::roll_back(shell, rollout_id, to, limits));
            }
            AgentEffect::SettleOneWay { closure } => {
                // Before anything that comes later can begin a step.
                activate::settle_one_way(&shell, &closure);
            }
            AgentEffect::StartProbes { rollout_id, closure, probes: _ } => {
                self.probes = Some(probing::start(shell, rollout_id, closure));
            }
            AgentEffect::StopProbes => self.probes = None,
            AgentEffect::HeartbeatNow => shell.heartbeat_now.notify_one(),
            AgentEffect::OfferRollout { rollout_id, proof } => {
                self.spawn(offer::offer(shell, rollout_id, proof));
            }
            AgentEffect::FetchPlan { rollout_id } => {
                self.spawn(plan::fetch_for_bootstrap(shell, rollout_id));
            }
            AgentEffect::Satisfied(resources) => shell.satisfied(resources),
            AgentEffect::Append { rollout_id, entry, .. } => {
                tracing::info!(rollout = %rollout_id, seq = entry.seq.0, "{}", entry.event.kind());
            }
            AgentEffect::Log { message } => tracing::info!("{message}"),
            AgentEffect::Reject(rejected) => {
                tracing::warn!(closure = %rejected.closure, "rejected on this host");
            }
            AgentEffect::OpenJournal { .. }
            | AgentEffect::AttachProof { .. }
            | AgentEffect::MarkAnswered { .. }
            | AgentEffect::DropJournal { .. }
            | AgentEffect::SaveMeta(_)
            | AgentEffect::RememberActivated(_)
            | AgentEffect::Unreject(_) => {}
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.shell.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(work).await });
    }
}
