//! Keeping the time that is known to have been, now and then.
//!
//! Not here: what raises it (see [`crate::clock`]).

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, keep_floor};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(60);

/// Keeps it until `stop`, and once more then.
pub async fn run(clock: Clock, state_dir: PathBuf, stop: CancellationToken) {
    let mut kept = clock.floor();
    loop {
        let ends = stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none();
        let floor = clock.floor();
        if floor != kept {
            let folder = state_dir.clone();
            let written = tokio::task::spawn_blocking(move || keep_floor(&folder, floor)).await;
            match written.map_err(std::io::Error::other).flatten() {
                Ok(()) => kept = floor,
                Err(error) => tracing::warn!(%error, "the time floor cannot be kept"),
            }
        }
        if ends {
            return;
        }
    }
}
