//! What keeps the process from being ready, beside what the live model says.
//!
//! Not here: the route (see `routes`).

use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the adoption worker, read by `/readyz`.
#[derive(Debug, Default)]
pub struct Readiness {
    blobs_missing: AtomicBool,
}

impl Readiness {
    /// Whether the adopted release names blobs that are not there.
    pub fn set_blobs_missing(&self, missing: bool) {
        self.blobs_missing.store(missing, Ordering::Relaxed);
    }

    /// As last set.
    #[must_use]
    pub fn blobs_missing(&self) -> bool {
        self.blobs_missing.load(Ordering::Relaxed)
    }
}
