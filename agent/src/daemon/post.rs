//! Sending the journal, one request at a time.
//!
//! Not here: which entries, and when again (the core).

use wavegate_proto::wire::agent::EventsRequest;
use wavegate_proto::wire::problem::ProblemCode;
use wavegate_state_machine::agent::{AgentInput, PostOutcome};

use super::inbox::Stopped;
use super::shell::Shell;
use crate::client::{Backoff, ClientError};

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
        Err(error) => match outcome_of(&error) {
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

/// What a problem says about the journal; `None`: nothing, the request may be sent again.
fn outcome_of(error: &ClientError) -> Option<PostOutcome> {
    let problem = error.problem()?;
    let is = |code: ProblemCode| problem.code() == code.as_str();
    if is(ProblemCode::EventRefused) {
        let (seq, last_seq) = (problem.seq?, problem.last_seq?);
        let reason = problem.reason.clone().unwrap_or_else(|| problem.detail.clone());
        return Some(PostOutcome::Refused { seq, reason, last_seq });
    }
    if is(ProblemCode::SeqGap) {
        return Some(PostOutcome::Gap { expected: problem.expected_seq? });
    }
    let plain = [
        (ProblemCode::JournalReplaced, PostOutcome::JournalReplaced),
        (ProblemCode::JournalDiverged, PostOutcome::JournalDiverged),
        (ProblemCode::UnknownRollout, PostOutcome::UnknownRollout),
        (ProblemCode::RolloutPruned, PostOutcome::Pruned),
    ];
    plain.into_iter().find(|(code, _)| is(*code)).map(|(_, outcome)| outcome)
}
