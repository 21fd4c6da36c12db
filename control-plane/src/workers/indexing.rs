//! Keeps the index of the log up to date, behind everything else.
//!
//! Not here: the index (see [`crate::store::index`]).

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::core::LogEnd;
use crate::store::index::EventIndex;

/// How long rows may stay outside of the index: a page looks through them one by one.
const PAUSE: Duration = Duration::from_secs(1);

/// How many rows are taken in at once.
const ROWS_AT_ONCE: u64 = 10_000;

/// Takes committed rows in, until `stop`, if there is an index.
pub async fn run(
    index: Option<EventIndex>,
    mut committed: watch::Receiver<LogEnd>,
    stop: CancellationToken,
) {
    let Some(mut index) = index else { return };
    loop {
        let behind = index.through() < committed.borrow_and_update().seq;
        if behind {
            let took = tokio::task::spawn_blocking(move || {
                let more = index.take_in(ROWS_AT_ONCE);
                (index, more)
            });
            match took.await {
                Ok((same, Ok(true))) => {
                    index = same;
                    if stop.is_cancelled() {
                        return;
                    }
                    continue;
                }
                Ok((same, Ok(false))) => index = same,
                Ok((_, Err(error))) => return tracing::warn!(%error, "the index ends here"),
                Err(error) => return tracing::warn!(%error, "the index ends here"),
            }
        }
        let next = async {
            tokio::time::sleep(PAUSE).await;
            committed.changed().await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = next => if changed.is_err() {
                return;
            },
        }
    }
}
