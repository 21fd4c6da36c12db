//! What the agent remembers beside the journal, and keeping it in `state.json`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wavegate_proto::ids::ProbeName;

use super::shell::Shell;
use crate::clock;
use crate::snapshot::{ProbeSample, Saved, Snapshot, SnapshotFile};

/// How often changes are written.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

/// Probe history; the statuses of resources are the resource engine's.
pub(super) struct Memory {
    inner: Mutex<(Snapshot, SnapshotFile)>,
}

impl Memory {
    pub(super) fn new(snapshot: Snapshot, file: SnapshotFile) -> Self {
        Self { inner: Mutex::new((snapshot, file)) }
    }

    pub(super) fn add_sample(&self, probe: ProbeName, sample: ProbeSample) {
        self.lock().0.add_sample(probe, sample);
    }

    fn lock(&self) -> MutexGuard<'_, (Snapshot, SnapshotFile)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shell {
    /// Writes `state.json`, if anything in it has changed.
    pub(super) fn save_memory(&self) {
        let tracked = self.activator.statuses().snapshot();
        let mut inner = self.memory.lock();
        let (snapshot, file) = &mut *inner;
        snapshot.set_resources(tracked);
        match file.save(snapshot, clock::wall()) {
            Ok(Saved::Written) => tracing::debug!("state.json written"),
            Ok(Saved::Clean) => {}
            Err(error) => tracing::error!(%error, "degraded: state.json not written"),
        }
    }

    /// Writes now and then; the last time is at the end of the program.
    pub(super) async fn keep_memory(&self) {
        while !self.stop.is_cancelled() {
            self.pause(SAVE_INTERVAL).await;
            tokio::task::block_in_place(|| self.save_memory());
        }
    }
}
