//! Removing the log rows of pruned rollouts, a piece at a time, so that nothing else waits for it.
//!
//! Not here: which rollouts are pruned, and what accounts for the rows (see [`crate::core`]).

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wavegate_proto::ids::LogSeq;
use wavegate_proto::wire::problem::{Problem, ProblemCode};

use crate::core::Input;
use crate::service::Handle;
use crate::store::{EventReader, StoreError};

/// How often it is asked whether a rollout has been pruned.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How many rows one commit looks at, and may remove.
const ROWS_PER_PIECE: u64 = 10_000;

/// Why a walk over the log did not come to its end. It is begun again at the next look.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error("{}", .0.detail)]
    Refused(Problem),
}

/// Compacts the log whenever a rollout has been pruned, until `stop`.
pub async fn run(events: EventReader, handle: Handle, stop: CancellationToken) {
    let mut due = tokio::time::interval(LOOK_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The prune after which the whole log has been walked.
    let mut done = LogSeq(0);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = due.tick() => {}
        }
        let walked = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            walked = walk(&events, &handle, done) => walked,
        };
        match walked {
            Ok(pruned) => done = pruned,
            Err(Unfinished::Refused(problem))
                if problem.code() == ProblemCode::ShuttingDown.as_str() =>
            {
                return;
            }
            Err(error) => tracing::warn!(%error, "the log is not compacted to its end"),
        }
    }
}

/// Walks the log once if a rollout has been pruned since `done`; returns the newest prune.
async fn walk(events: &EventReader, handle: &Handle, done: LogSeq) -> Result<LogSeq, Unfinished> {
    let pruned = events.last_pruned().await?;
    if pruned <= done {
        return Ok(done);
    }
    let mut from = LogSeq(1);
    while from < pruned {
        let runs = events.removable(from, ROWS_PER_PIECE).await?;
        if !runs.is_empty() {
            let compact = handle.call(|reply| Input::Compact { runs, reply });
            compact.await.map_err(Unfinished::Refused)?;
        }
        from = LogSeq(from.0.saturating_add(ROWS_PER_PIECE));
    }
    Ok(pruned)
}
