//! The process's two clocks, read in one place: everything below takes time as an argument.
//!
//! The wall clock never shows less than the time that is known to have been, also not after a restart: that
//! is kept in a file of the state folder.
//!
//! Not here: what is done with the time.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::time_floor::TimeFloor;

/// The file of the time that is known to have been, in the state folder.
const FLOOR_FILE: &str = "time-floor";

/// The wall clock, and a monotonic clock that starts with the process. Clones share the floor.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    floor: Arc<Mutex<TimeFloor>>,
}

impl Clock {
    /// Clocks whose monotonic reading is 0 now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), floor: Arc::default() }
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { wall: self.wall(), mono: Mono::from_millis(mono) }
    }

    /// The time to judge by: the wall clock, but nothing before the time that is known to have been.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.floor().lift(wall())
    }

    /// The moment at which the monotonic clock reads `mono`.
    #[must_use]
    pub fn instant_at(&self, mono: Mono) -> Instant {
        self.start + Duration::from_millis(mono.millis())
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

    /// A host's clock shows `other`.
    pub fn compare(&self, other: Timestamp) {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner).compare(wall(), other);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.wall().unix_millis()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

/// The time that is known to have been, as it was kept in `state_dir`.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn read_floor(state_dir: &Path) -> io::Result<TimeFloor> {
    let path = state_dir.join(FLOOR_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let at = text.trim().parse().map_err(|error| {
                io::Error::other(format!(
                    "read {}: {error}; remove it to start anew",
                    path.display()
                ))
            })?;
            Ok(TimeFloor::new(at))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TimeFloor::default()),
        Err(error) => Err(error),
    }
}

/// Keeps the time that is known to have been, whole or not at all.
///
/// # Errors
/// When the state folder cannot be written.
pub fn keep_floor(state_dir: &Path, floor: TimeFloor) -> io::Result<()> {
    let path: PathBuf = state_dir.join(FLOOR_FILE);
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    writeln!(file, "{}", floor.at())?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(state_dir)?.sync_all()
}

impl Clock {
    /// Goes on from what was kept.
    pub fn go_on_from(&self, kept: TimeFloor) {
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        *floor = TimeFloor::new(floor.at().max(kept.at()));
    }
}

/// The system's wall clock.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_shows_nothing_before_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_floor(dir.path()).unwrap(), TimeFloor::default());
        let future = wall().plus_secs(2 * 365 * 86_400);
        keep_floor(dir.path(), TimeFloor::new(future)).unwrap();
        let clock = Clock::start();
        assert!(clock.wall() < future);
        clock.go_on_from(read_floor(dir.path()).unwrap());
        assert_eq!(clock.now().wall, future);
        clock.signed(wall());
        assert_eq!(clock.floor().at(), future);
    }

    #[test]
    fn a_damaged_floor_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FLOOR_FILE), "yesterday").unwrap();
        let error = read_floor(dir.path()).unwrap_err().to_string();
        assert!(error.contains(FLOOR_FILE) && error.contains("remove it"), "{error}");
    }
}
