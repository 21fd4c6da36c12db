//! Asking for a dispatch, while the host is idle, and handing it to the core with its plan.

use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::Dispatch;
use wavegate_state_machine::agent::AgentInput;

use super::inbox::Stopped;
use super::shell::Shell;
use crate::client::ClientError;
use crate::clock;

const WAIT_SECS: u64 = 55;

/// Polls that are answered at once without a dispatch, or whose dispatch is refused, keep this
/// distance (G2).
const MIN_DISTANCE: Duration = Duration::from_secs(1);

/// Polls until the agent stops.
pub(super) async fn run(shell: &Shell) -> Result<(), Stopped> {
    let mut view = shell.inbox.view();
    let mut backoff = shell.backoff();
    loop {
        view.wait_for(|view| view.wants_dispatch).await.map_err(|_| Stopped)?;
        let asked_at = Instant::now();
        // The lease is counted from here: the control plane issued it no earlier (G4).
        let polled_at = clock::mono();
        match poll(shell, polled_at).await? {
            Ok(()) => {
                backoff = shell.backoff();
                tokio::time::sleep_until(asked_at + MIN_DISTANCE).await;
            }
            Err(error) => {
                tracing::debug!(%error, "no dispatch");
                tokio::time::sleep(backoff.after_error(&error)).await;
            }
        }
    }
}

async fn poll(shell: &Shell, polled_at: Mono) -> Result<Result<(), ClientError>, Stopped> {
    let polled = tokio::select! {
        polled = shell.control_plane.poll_dispatch(WAIT_SECS) => polled,
        // Something else has begun meanwhile, by a replay or a bootstrap: the offer would be ignored.
        () = no_longer_wanted(shell) => return Ok(Ok(())),
    };
    match polled {
        Ok(None) => Ok(Ok(())),
        Ok(Some(dispatch)) => offer(shell, dispatch, polled_at).await,
        Err(error) => Ok(Err(error)),
    }
}

async fn no_longer_wanted(shell: &Shell) {
    let mut view = shell.inbox.view();
    // An error means that the reducer has stopped; the next message to it finds that out.
    let _stopped = view.wait_for(|view| !view.wants_dispatch).await.is_err();
}

async fn offer(
    shell: &Shell,
    dispatch: Dispatch,
    polled_at: Mono,
) -> Result<Result<(), ClientError>, Stopped> {
    tracing::info!(rollout = %dispatch.rollout_id, attempt = dispatch.attempt.0, "dispatch offered");
    let plan = match shell.dispatched_plan(&dispatch.rollout_id).await {
        Ok(plan) => plan,
        Err(error) => {
            tracing::warn!(rollout = %dispatch.rollout_id, %error, "plan not at hand, dispatch not taken");
            return Ok(Err(error));
        }
    };
    if let Err(rejection) = &plan {
        let detail = rejection.detail.as_deref().unwrap_or_default();
        tracing::error!(rollout = %dispatch.rollout_id, reason = rejection.reason, detail, "plan refused");
    }
    let current = match shell.activator.current() {
        Ok(current) => current,
        Err(error) => {
            tracing::error!(%error, "degraded: what runs is not known, dispatch not taken");
            return Ok(Err(ClientError::Unreachable(error.to_string())));
        }
    };
    let input = AgentInput::DispatchOffered { dispatch, polled_at, plan, current };
    shell.inbox.tell(input).await.map(Ok)
}
