//! Sending the journal, one request at a time.
//!
//! Not here: which entries, and when again (the core).

use wavegate_proto::wire::agent::EventsRequest;
use wavegate_state_machine::agent::{AgentInput, PostOutcome};

use super::inbox::Stopped;
use super::shell::Shell;
use crate::client::Backoff;

/// Sends whatever there is to send until the agent stops.
pub(super) async fn run(shell: &Shell) -> Result<(), Stopped> {
    let mut backoff = shell.backoff();
    loop {
        match shell.inbox.next_post().await? {
            Some(request) => post(shell, request, &mut backoff).await?,
            None => shell.more_to_post.notified().await,
        }
    }
}

async fn post(shell: &Shell, request: EventsRequest, backoff: &mut Backoff) -> Result<(), Stopped> {
    let outcome = match shell.control_plane.post_events(&request).await {
        Ok(answer) => PostOutcome::Accepted { last_seq: answer.last_seq },
        Err(error) => match error.problem().and_then(PostOutcome::of_problem) {
            Some(outcome) => outcome,
            None => {
                tracing::debug!(%error, "events not taken");
                // The core waits by itself before it tries again; this adds the jitter (O1).
                tokio::time::sleep(backoff.after_error(&error)).await;
                PostOutcome::Unavailable
            }
        },
    };
    if outcome != PostOutcome::Unavailable {
        backoff.reset();
    }
    let EventsRequest { rollout_id, journal_id, .. } = request;
    shell.inbox.tell(AgentInput::EventsAnswered { rollout_id, journal_id, outcome }).await
}
