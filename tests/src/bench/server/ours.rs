//! The control plane, started the way its binary starts it.

use anyhow::{Result, anyhow};
use wavegate_control_plane::app;
use wavegate_control_plane::config::{
    DEFAULT_MAX_BLOB_BYTES, DEFAULT_RETAIN_SECS, Limits, Settings,
};

use super::super::scene::Files;
use super::{announce, until_stdin_ends};

/// Short, so that dispatching begins soon: the hosts that stay silent hold it up no longer than this.
const HEARTBEAT_SECS: u64 = 2;

/// The release never changes here.
const POLL_SECS: u64 = 3600;

pub(super) async fn serve(files: &Files, download_bytes_per_second: u32) -> Result<()> {
    let settings = Settings {
        state_dir: files.state(),
        trust: files.trust(),
        tls_cert: files.certificate(),
        tls_key: files.key(),
        client_ca: None,
        issuer: None,
        renew_grace_secs: 0,
        listen: ([127, 0, 0, 1], 0).into(),
        status_listen: None,
        release_source: Some(files.source().display().to_string()),
        heartbeat_secs: HEARTBEAT_SECS,
        poll_secs: POLL_SECS,
        max_blob_bytes: DEFAULT_MAX_BLOB_BYTES,
        retain_secs: DEFAULT_RETAIN_SECS,
        limits: Limits { download_bytes_per_second, ..Limits::of_a_load_test() },
    };
    let failure = |failure| anyhow!("the control plane failed: {failure}");
    let running = app::start(&settings).await.map_err(failure)?;
    announce(running.https)?;
    tokio::select! {
        ended = until_stdin_ends() => ended?,
        failed = running.failed() => return Err(failure(failed)),
    }
    running.stop().await.map_err(failure)
}
