//! Looking at something all the time on a thread of its own, while the test goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::wait::GLANCE;

/// Looks until it is ended; what it found comes back then.
pub struct Watcher<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Watcher<T> {
    /// Calls `look` with `seen` again and again.
    pub fn start(mut seen: T, mut look: impl FnMut(&mut T) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(&mut seen);
                std::thread::sleep(GLANCE);
            }
            seen
        });
        Self { stop, thread }
    }

    /// What it has seen.
    ///
    /// # Panics
    /// With what it panicked with.
    pub fn end(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
