//! The process's two clocks, read in one place: everything below takes time as an argument.
//!
//! Not here: what is done with the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wavegate_proto::time::{Mono, Now, Timestamp};

/// The wall clock, and a monotonic clock that starts with the process.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Clocks whose monotonic reading is 0 now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks.
    #[must_use]
    pub fn now(self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { wall: wall(), mono: Mono::from_millis(mono) }
    }

    /// The moment at which the monotonic clock reads `mono`.
    #[must_use]
    pub fn instant_at(self, mono: Mono) -> Instant {
        self.start + Duration::from_millis(mono.millis())
    }
}

/// The wall clock.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
