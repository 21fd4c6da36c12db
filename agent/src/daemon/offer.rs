//! Offering a header that the control plane has lost.

use std::sync::Arc;

use wavegate_proto::ids::RolloutId;
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_state_machine::agent::{AgentInput, OfferOutcome};

use super::shell::Shell;

pub(super) async fn offer(shell: Arc<Shell>, rollout_id: RolloutId, proof: RolloutProof) {
    let taken = match shell.control_plane.offer_rollout(&proof).await {
        Ok(()) => OfferOutcome::Taken,
        Err(error) => {
            tracing::warn!(rollout = %rollout_id, %error, "header not taken");
            tokio::time::sleep(shell.backoff().after_error(&error)).await;
            OfferOutcome::NotTaken
        }
    };
    let _stopped = shell.inbox.tell(AgentInput::RolloutOffered { rollout_id, taken }).await;
}
