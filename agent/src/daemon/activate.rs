//! Activating and going back, each on a task of its own: heartbeats go on meanwhile.
//!
//! Not here: whether to (the core), how (see [`crate::activation`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::{ClosureId, RolloutId};
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentInput, ProbeSchedule, RollbackOutcome,
};

use super::fetch::FetchFailure;
use super::shell::Shell;
use crate::activation;
use crate::resources::engine::Limits;

pub(super) fn limits(activation_secs: u64, awaiting_secs: u64) -> Limits {
    Limits {
        activation: Duration::from_secs(activation_secs),
        awaiting: Duration::from_secs(awaiting_secs),
    }
}

/// Fetches the closure and makes it run; both count in the activation's time.
pub(super) async fn activate(
    shell: Arc<Shell>,
    rollout_id: RolloutId,
    closure: ClosureId,
    limits: Limits,
) {
    tracing::info!(rollout = %rollout_id, %closure, "activation begins");
    let outcome = try_activate(&shell, &closure, limits).await;
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

async fn try_activate(shell: &Shell, closure: &ClosureId, limits: Limits) -> ActivationOutcome {
    let deadline = Instant::now() + limits.activation;
    shell.pin_in_use();
    let bundle = match closure.blob() {
        None => None,
        Some(blob) => match shell.fetch_closure(blob, deadline).await {
            Ok(bundle) => Some(Arc::new(bundle)),
            Err(FetchFailure { class, reason, detail }) => {
                let changed = shell.cut_off_pass_changed();
                return failed(class, reason.to_owned(), detail, changed);
            }
        },
    };
    shell.pin_in_use();
    let probes = bundle.as_deref().map(ProbeSchedule::of).unwrap_or_default();
    let left = deadline.saturating_duration_since(Instant::now());
    let limits = Limits { activation: left, ..limits };
    let _alone = shell.hands.lock().await;
    match shell.activator.activate(closure, bundle, limits).await {
        activation::ActivationOutcome::Complete { changed } => {
            ActivationOutcome::Complete { exit_code: 0, changed, probes }
        }
        activation::ActivationOutcome::Failed { class, reason, changed, detail } => {
            failed(class, reason, detail, changed)
        }
    }
}

fn failed(class: FailureClass, reason: String, detail: String, changed: bool) -> ActivationOutcome {
    ActivationOutcome::Failed { class, reason, exit_code: None, stderr_tail: Some(detail), changed }
}

/// The closure has converged: what was begun on the way to it no longer stands in the way of going back.
/// What cannot be written down now is done at the next start; until then going back is refused for nothing.
pub(super) fn settle_one_way(shell: &Shell, closure: &ClosureId) {
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
    let done = {
        let _alone = shell.hands.lock().await;
        shell.activator.rollback(to.as_ref(), limits).await
    };
    let outcome = match done {
        activation::ActivationOutcome::Complete { changed: _ } => match shell.activator.current() {
            Ok(closure) => RollbackOutcome::Complete { closure, exit_code: 0 },
            Err(error) => RollbackOutcome::Failed { reason: format!("current-unknown: {error}") },
        },
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
