//! Activating and going back, each on a task of its own: heartbeats go on meanwhile.
//!
//! Not here: whether to (the core), how (see [`crate::activation`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::{BlobId, ClosureId, RolloutId};
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentEffect, AgentInput, ProbeSchedule, RollbackOutcome,
};

use super::fetch::FetchFailure;
use super::shell::Shell;
use crate::activation;
use crate::resources::engine::Limits;

/// The agent that the closure brings was taken back by the supervisor.
const FELL_BACK: &str = "agent-fell-back";

/// The agent that the closure brings runs, and has not reached the control plane.
const UNPROVEN: &str = "agent-unproven";

pub(super) fn limits(activation_secs: u64, awaiting_secs: u64) -> Limits {
    Limits {
        activation: Duration::from_secs(activation_secs),
        awaiting: Duration::from_secs(awaiting_secs),
    }
}

/// A closure of the signed plan.
pub(super) struct Target {
    pub(super) closure: ClosureId,
    /// With a store path: the closure document with its probes.
    pub(super) checks: Option<BlobId>,
}

impl Target {
    /// The document that names its probes; `None`: it has none.
    pub(super) fn document(&self) -> Option<BlobId> {
        self.closure.blob().or(self.checks)
    }
}

/// Fetches the closure and makes it run; both count in the activation's time.
pub(super) async fn activate(
    shell: Arc<Shell>,
    rollout_id: RolloutId,
    target: Target,
    limits: Limits,
) {
    tracing::info!(rollout = %rollout_id, closure = %target.closure, "activation begins");
    let deadline = Instant::now() + limits.activation;
    let outcome = match take_fall_back(&shell) {
        Some(why) => Some(failed(FailureClass::Artifact, FELL_BACK, why)),
        None => try_activate(&shell, &target, limits).await,
    };
    // Nothing is told: by the journal the activation goes on, and the next program goes on with it.
    let Some(mut outcome) = outcome else { return shell.make_way() };
    if let (Some(own), ActivationOutcome::Complete { .. }) = (&shell.own, &outcome)
        && !own.is_proven_by(deadline).await
    {
        outcome = unproven(limits.activation);
    }
    match &outcome {
        ActivationOutcome::Complete { changed, .. } => {
            tracing::info!(rollout = %rollout_id, changed, "activation complete");
        }
        ActivationOutcome::Deferred { component, .. } => {
            tracing::info!(rollout = %rollout_id, component, "activation waits for a reboot");
        }
        ActivationOutcome::Failed { class, reason, stderr_tail, .. } => {
            let detail = stderr_tail.as_deref().unwrap_or_default();
            tracing::error!(rollout = %rollout_id, ?class, reason, detail, "activation failed");
        }
    }
    // The reducer is gone only when the agent stops; the journal then says what to do next.
    let one_way = AgentInput::OneWay(shell.activator.one_way());
    let _stopped = shell.inbox.tell(one_way).await;
    let _stopped = shell.inbox.tell(AgentInput::ActivationEnded { rollout_id, outcome }).await;
}

/// Why the agent that the closure brings was taken back, if it was.
fn take_fall_back(shell: &Shell) -> Option<String> {
    let own = shell.own.as_ref()?;
    let why = tokio::task::block_in_place(|| own.take_fall_back())?;
    tracing::error!(why, "another program of the agent was started, and this one is back");
    Some(format!("the agent that this closure brings {why}; the agent before it is back"))
}

/// A program that was taken back belongs to what was under way when it was started. If nothing was, it was put there by
/// somebody else, and there is nobody else to tell.
pub(super) fn forget_fall_back(shell: &Shell, first: &[AgentEffect]) {
    let goes_on = |effect: &AgentEffect| {
        matches!(effect, AgentEffect::Activate { .. } | AgentEffect::Rollback { .. })
    };
    if !first.iter().any(goes_on) {
        let _said_in_the_log = take_fall_back(shell);
    }
}

fn failed(class: FailureClass, reason: &str, detail: String) -> ActivationOutcome {
    let (reason, stderr_tail) = (reason.to_owned(), Some(detail));
    ActivationOutcome::Failed { class, reason, exit_code: None, stderr_tail, changed: true }
}

/// It may be the network, which is no fault of the closure.
fn unproven(within: Duration) -> ActivationOutcome {
    let secs = within.as_secs();
    let detail = format!(
        "the agent that this closure brings has not reached the control plane within {secs} s"
    );
    failed(FailureClass::Host, UNPROVEN, detail)
}

/// `None`: another program of the agent is to end it.
async fn try_activate(shell: &Shell, target: &Target, limits: Limits) -> Option<ActivationOutcome> {
    let deadline = Instant::now() + limits.activation;
    shell.pin_in_use();
    let document = match target.document() {
        None => None,
        Some(blob) => match shell.fetch_closure(blob, deadline).await {
            Ok(bundle) => Some(Arc::new(bundle)),
            Err(FetchFailure { class, reason, detail }) => {
                let changed = shell.cut_off_pass_changed();
                let reason = reason.to_owned();
                let (exit_code, stderr_tail) = (None, Some(detail));
                return Some(ActivationOutcome::Failed {
                    class,
                    reason,
                    exit_code,
                    stderr_tail,
                    changed,
                });
            }
        },
    };
    shell.pin_in_use();
    let probes = document.as_deref().map(ProbeSchedule::of).unwrap_or_default();
    let bundle = document.filter(|_| target.closure.blob().is_some());
    let left = deadline.saturating_duration_since(Instant::now());
    let limits = Limits { activation: left, ..limits };
    let _alone = shell.hands.lock().await;
    Some(match shell.activator.activate(&target.closure, bundle, limits).await {
        activation::ActivationOutcome::Complete { changed } => {
            ActivationOutcome::Complete { exit_code: 0, changed, probes }
        }
        activation::ActivationOutcome::Deferred { component } => {
            ActivationOutcome::Deferred { component }
        }
        activation::ActivationOutcome::ForTheNext => return None,
        activation::ActivationOutcome::Failed { class, reason, changed, detail, exit_code } => {
            let stderr_tail = Some(detail);
            ActivationOutcome::Failed { class, reason, exit_code, stderr_tail, changed }
        }
    })
}

/// The closure has converged: what was begun on the way to it no longer stands in the way of going back.
/// What cannot be written down now is done at the next start; until then going back is refused for nothing.
pub(super) fn settle_one_way(shell: &Shell, closure: &ClosureId) {
    if closure.blob().is_none() {
        // A system has no resources, and so no such steps.
        return;
    }
    let settled = match shell.bundle(closure) {
        Ok(Some(bundle)) => {
            let settled = tokio::task::block_in_place(|| shell.activator.settle_one_way(&bundle));
            settled.map_err(|e| e.to_string())
        }
        Ok(None) => Err("its document is not at hand".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = settled {
        tracing::error!(%closure, error, "degraded: one-way steps not settled");
    }
}

/// Makes the prior closure run again.
pub(super) async fn roll_back(
    shell: Arc<Shell>,
    rollout_id: RolloutId,
    to: Option<ClosureId>,
    limits: Limits,
) {
    tracing::warn!(rollout = %rollout_id, to = ?to, "rollback begins");
    let done = if let Some(why) = take_fall_back(&shell) {
        let reason = FELL_BACK.to_owned();
        let (class, changed, exit_code) = (FailureClass::Artifact, true, None);
        activation::ActivationOutcome::Failed { class, reason, changed, detail: why, exit_code }
    } else {
        let _alone = shell.hands.lock().await;
        shell.activator.rollback(to.as_ref(), limits).await
    };
    let outcome = match done {
        activation::ActivationOutcome::Complete { changed: _ } => match shell.activator.current() {
            Ok(closure) => RollbackOutcome::Complete { closure, exit_code: 0 },
            Err(error) => RollbackOutcome::Failed { reason: format!("current-unknown: {error}") },
        },
        activation::ActivationOutcome::Deferred { component } => {
            RollbackOutcome::Failed { reason: format!("reboot-needed: {component}") }
        }
        // By the journal the rollback goes on, and the program before goes on with it.
        activation::ActivationOutcome::ForTheNext => return shell.make_way(),
        activation::ActivationOutcome::Failed { reason, detail, .. } => {
            RollbackOutcome::Failed { reason: format!("{reason}: {detail}") }
        }
    };
    match &outcome {
        RollbackOutcome::Complete { .. } => tracing::warn!(rollout = %rollout_id, "rolled back"),
        RollbackOutcome::Failed { reason } => {
            tracing::error!(rollout = %rollout_id, reason, "rollback failed, a person is needed");
        }
    }
    let _stopped = shell.inbox.tell(AgentInput::RollbackEnded { rollout_id, outcome }).await;
}
