//! Where time enters: the wall clock, the clock since boot, and the boot's identity.
//!
//! Not here: what is decided by them (see `wavegate_state_machine::agent`).

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use wavegate_proto::ids::BootId;
use wavegate_proto::time::{Mono, Now, Timestamp};

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

/// The identity of this boot.
///
/// # Errors
/// When the kernel does not tell.
pub fn boot_id() -> io::Result<BootId> {
    let text = std::fs::read_to_string(BOOT_ID_FILE)?;
    text.trim().parse().map_err(io::Error::other)
}
