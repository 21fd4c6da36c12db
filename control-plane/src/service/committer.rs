//! The thread that commits: everything that waits goes into one transaction; then, and only then,
//! the answers go out, in the order in which they were decided (D1).
//!
//! Not here: the transaction (see [`crate::store`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// How many batches have been decided and not yet committed and answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Outstanding(Arc<AtomicUsize>);

impl Outstanding {
    pub(super) fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn settle(&self, batches: usize) {
        self.0.fetch_sub(batches, Ordering::AcqRel);
    }
}

impl Batch {
    /// Gives the answers. Everything they tell must be committed.
    pub(super) fn answer(self) {
        for (replier, answer) in self.answers {
            // Whoever asked may have gone away.
            let _gone = replier.send(answer);
        }
    }
}

/// What the thread tells of its work.
pub(super) struct Told {
    /// Batches that are committed and answered are taken off.
    pub(super) outstanding: Outstanding,
    /// How far the log goes.
    pub(super) end: watch::Sender<LogEnd>,
    /// Why a commit failed.
    pub(super) failed: watch::Sender<Option<Arc<str>>>,
}

/// Commits until the reducer is gone, then checkpoints. A commit that fails is told and ends
/// the thread; the callers that wait are dropped without an answer.
pub(super) fn run(mut store: Store, mut work: mpsc::Receiver<Batch>, told: &Told) {
    while let Some(mut batch) = work.blocking_recv() {
        let mut batches = 1;
        while let Ok(more) = work.try_recv() {
            batches += 1;
            batch.writes.extend(more.writes);
            batch.answers.extend(more.answers);
        }
        let rows = batch.writes.len();
        if rows > 0 {
            let start = Instant::now();
            if let Err(error) = store.commit(std::mem::take(&mut batch.writes)) {
                tracing::error!(%error, rows, "a commit failed: stopping, memory is ahead of the disk");
                told.failed.send_replace(Some(error.to_string().into()));
                return;
            }
            metrics::committed(start.elapsed(), rows);
            told.end.send_replace(store.log_end());
        }
        batch.answer();
        told.outstanding.settle(batches);
    }
    if let Err(error) = store.checkpoint() {
        tracing::warn!(%error, "the last checkpoint failed; the next start makes up for it");
    }
}
