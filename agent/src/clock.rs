//! Where time enters: the wall clock, the clock since boot, and the boot's identity.
//!
//! Not here: what is decided by them (see `wavegate_state_machine::agent`).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use wavegate_proto::ids::BootId;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::time_floor::TimeFloor;

const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Both clocks, now. The monotonic one also counts while the host sleeps.
#[must_use]
pub fn now() -> Now {
    Now { wall: wall(), mono: mono() }
}

/// The wall clock.
#[must_use]
pub fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// `CLOCK_BOOTTIME`.
#[must_use]
pub fn mono() -> Mono {
    let since_boot = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(since_boot.tv_sec).unwrap_or(0);
    let millis = u64::try_from(since_boot.tv_nsec).unwrap_or(0) / 1_000_000;
    Mono::from_millis(secs * 1000 + millis)
}

/// The wall clock, never before the time that is known to have been. Clones share that.
#[derive(Debug, Clone, Default)]
pub struct FloorClock {
    floor: Arc<Mutex<TimeFloor>>,
}

impl FloorClock {
    /// A clock that shows nothing before `floor`.
    #[must_use]
    pub fn new(floor: TimeFloor) -> Self {
        Self { floor: Arc::new(Mutex::new(floor)) }
    }

    /// The time to judge by.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.floor().lift(wall())
    }

    /// The time that is known to have been.
    #[must_use]
    pub fn floor(&self) -> TimeFloor {
        *self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A document of this date was found fresh.
    pub fn signed(&self, signed_at: Timestamp) {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner).signed(signed_at, wall());
    }

    /// The control plane's clock shows `other`. Says whether the two agree.
    #[must_use]
    pub fn compare(&self, other: Timestamp) -> bool {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner).compare(wall(), other)
    }
}

impl TimeProvider for FloorClock {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.wall().unix_millis()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

/// The identity of this boot.
///
/// # Errors
/// When the kernel does not tell.
pub fn boot_id() -> io::Result<BootId> {
    let text = std::fs::read_to_string(BOOT_ID_FILE)?;
    text.trim().parse().map_err(io::Error::other)
}
