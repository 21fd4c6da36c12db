//! Looking whether the files of certificates or the authorities of the trust file have changed: now and
//! then, when asked to, and when another version of the trust file holds.
//!
//! Not here: reading them (see [`crate::server::live_tls`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::LiveTls;
use crate::server::live_tls::Reloaded;
use crate::trust::TrustStore;

/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks until the process stops, and at once when notified.
pub(crate) fn start(
    tls: &Arc<LiveTls>,
    trust: &Arc<TrustStore>,
    stop: CancellationToken,
) -> (Arc<Notify>, JoinHandle<()>) {
    let look_now = Arc::new(Notify::new());
    let looking = tokio::spawn(run(tls.clone(), trust.clone(), look_now.clone(), stop));
    (look_now, looking)
}

async fn run(
    tls: Arc<LiveTls>,
    trust: Arc<TrustStore>,
    look_now: Arc<Notify>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = look_now.notified() => {}
            () = trust.rotated() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match tls.reload(trust.chain().trust()) {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Changed) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(%error, "the changed certificates are not used"),
        }
    }
}
