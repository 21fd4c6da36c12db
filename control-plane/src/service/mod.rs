//! The reducer as a running task: inputs in, a batch at a time; one transaction a batch; answers after
//! the commit.
//!
//! Decide, persist, answer, in that order: [`reducer`] decides, [`committer`] persists and answers.
//!
//! Not here: what is decided (see [`crate::core`]), HTTP (see [`crate::server`]).

mod committer;
mod handle;
mod lanes;
pub mod metrics;
mod reducer;

pub use handle::Handle;
pub use lanes::Lane;

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use self::committer::{Outstanding, Told};
use self::reducer::Log;
use crate::clock::Clock;
use crate::core::{Answer, Core, Input, LogEnd, Output, Token};
use crate::store::{EventReader, Store};

/// How many inputs may wait; beyond that callers are told to come back.
pub const QUEUE_LENGTH: usize = Lane::all_places();

/// What is sent to the reducer.
#[derive(Debug)]
pub(crate) enum Message {
    /// A request that is answered once, and its place in the queue.
    Request(Token, Input, Replier, OwnedSemaphorePermit),
    /// Something that needs no answer.
    Notice(Input),
    /// Handle what came before, commit, and stop.
    Stop,
}

/// Where an answer goes.
pub(crate) type Replier = tokio::sync::oneshot::Sender<Answer>;

/// The reducer and its commit thread, running.
#[derive(Debug)]
pub struct Service {
    handle: Handle,
    reducer: tokio::task::JoinHandle<()>,
    committer: JoinHandle<()>,
    failed: watch::Receiver<Option<Arc<str>>>,
    committed: watch::Receiver<LogEnd>,
}

impl Service {
    /// Starts both. `first` is what the core wants written before anything else, `log` reads what is
    /// committed.
    ///
    /// # Errors
    /// When the commit thread cannot be started.
    pub fn start(
        core: Core,
        first: Vec<Output>,
        store: Store,
        log: EventReader,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (queue, inputs) = mpsc::channel(QUEUE_LENGTH);
        let (batches, work) = mpsc::channel(1);
        let (fail, failed) = watch::channel(None);
        let (end, committed) = watch::channel(store.log_end());
        let outstanding = Outstanding::default();
        let told = Told { outstanding: outstanding.clone(), end, failed: fail };
        let committer = std::thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || committer::run(store, work, &told))?;
        let log = Log {
            outstanding,
            committed: committed.clone(),
            reader: log,
            queue: queue.downgrade(),
        };
        let reducer = reducer::Reducer::new(core, clock, inputs, batches, log);
        let reducer = tokio::spawn(reducer.run(first));
        Ok(Self { handle: Handle::new(queue), reducer, committer, failed, committed })
    }

    /// A way to send it inputs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How far the log is committed, as it grows.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<LogEnd> {
        self.committed.clone()
    }

    /// Waits until a commit fails, and says why. The process must stop then.
    pub async fn failed(&self) -> Arc<str> {
        let mut failed = self.failed.clone();
        let reason = match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            // The thread has ended without a failure: it was stopped.
            Err(_) => return std::future::pending().await,
        };
        reason.unwrap_or_else(|| "the commit thread has stopped".into())
    }

    /// Handles and commits everything that was sent before, checkpoints, and ends.
    ///
    /// # Errors
    /// Why the last commit failed.
    pub async fn stop(self) -> Result<(), Arc<str>> {
        self.handle.send_stop().await;
        // A reducer that panicked has dropped its queue: nothing it had not committed was answered.
        let reduced = self.reducer.await;
        let committer = self.committer;
        let joined = tokio::task::spawn_blocking(move || committer.join().is_ok()).await;
        if let Some(reason) = self.failed.borrow().clone() {
            return Err(reason);
        }
        match (reduced, joined) {
            (Ok(()), Ok(true)) => Ok(()),
            (Ok(()) | Err(_), Ok(_) | Err(_)) => {
                Err("the reducer or its commit thread panicked".into())
            }
        }
    }
}
