//! Looking whether the files of certificates have changed: now and then, and when asked to.
//!
//! Not here: reading them (see [`crate::server::live_tls`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::LiveTls;
use crate::server::live_tls::Reloaded;

/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks until the process stops, and at once when notified.
pub(crate) fn start(tls: Arc<LiveTls>, stop: CancellationToken) -> (Arc<Notify>, JoinHandle<()>) {
    let look_now = Arc::new(Notify::new());
    let looking = tokio::spawn(run(tls, look_now.clone(), stop));
    (look_now, looking)
}

async fn run(tls: Arc<LiveTls>, look_now: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = look_now.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match tls.reload() {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Changed) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(%error, "the changed certificates are not used"),
        }
    }
}
