//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How often is looked.
pub const GLANCE: Duration = Duration::from_millis(40);

/// How long a step of a rollout may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Looks until `look` finds what it looks for; the error says what there is instead.
///
/// # Panics
/// When it does not come in time, with what was seen last.
pub fn until<T>(what: &str, patience: Duration, look: impl FnMut() -> Result<T, String>) -> T {
    until_every(GLANCE, what, patience, look)
}

/// The same, looking less often: a look that asks for much would soon be told that it asks too often.
///
/// # Panics
/// When it does not come in time, with what was seen last.
pub fn until_every<T>(
    pause: Duration,
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if begun.elapsed() > patience => {
                panic!("waited {patience:?} for {what}: {instead}")
            }
            Err(_) => std::thread::sleep(pause),
        }
    }
}
