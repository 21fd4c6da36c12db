//! The thread that commits: everything that waits goes into one transaction; then, and only then,
//! the answers go out, in the order in which they were decided (D1).
//!
//! Not here: the transaction (see [`crate::store`]).

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::{Replier, metrics};
use crate::core::{Answer, LogEnd, Write};
use crate::store::Store;

/// What was decided on one batch of inputs.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    pub(super) answers: Vec<(Replier, Answer)>,
}

/// Commits until the reducer is gone, telling `end` how far the log goes, then checkpoints. A failed commit is told to `fail` and ends
/// the thread; the callers that wait are dropped without an answer.
pub(super) fn run(
    mut store: Store,
    mut work: mpsc::Receiver<Batch>,
    end: &watch::Sender<LogEnd>,
    fail: &watch::Sender<Option<Arc<str>>>,
) {
    while let Some(mut batch) = work.blocking_recv() {
        while let Ok(more) = work.try_recv() {
            batch.writes.extend(more.writes);
            batch.answers.extend(more.answers);
        }
        let rows = batch.writes.len();
        if rows > 0 {
            let start = Instant::now();
            if let Err(error) = store.commit(batch.writes) {
                tracing::error!(%error, rows, "a commit failed: stopping, memory is ahead of the disk");
                fail.send_replace(Some(error.to_string().into()));
                return;
            }
            metrics::committed(start.elapsed(), rows);
            end.send_replace(store.log_end());
        }
        for (replier, answer) in batch.answers {
            // Whoever asked may have gone away.
            let _gone = replier.send(answer);
        }
    }
    if let Err(error) = store.checkpoint() {
        tracing::warn!(%error, "the last checkpoint failed; the next start makes up for it");
    }
}
