//! Answering people on the host, over the socket in the state folder.
//!
//! While something is activated or put right, they are told to ask again: nobody else changes the host.
//! Not here: what they may ask (see [`crate::local`]).

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use wavegate_proto::ids::ClosureId;

use super::inbox::Stopped;
use super::shell::Shell;
use crate::local::{Answer, MAX_REQUEST_BYTES, Request, SOCKET_FILE, answer};

/// Whoever connects must have asked by then.
const ASKING_TIME: Duration = Duration::from_secs(5);

/// Answers until the agent stops. Without a socket the agent works all the same.
pub(super) async fn run(shell: &Shell) -> Result<(), Stopped> {
    let listener = match listen(shell) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "degraded: no socket for commands on this host");
            return Ok(());
        }
    };
    loop {
        match listener.accept().await {
            // One after the other: only one could have the host anyway.
            Ok((stream, _)) => {
                if let Err(error) = serve(shell, stream).await {
                    tracing::debug!(%error, "a command on this host was not answered");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a command on this host was not heard");
                shell.pause(Duration::from_secs(1)).await;
            }
        }
    }
}

fn listen(shell: &Shell) -> io::Result<UnixListener> {
    let path = shell.state_dir.join(SOCKET_FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Through the open folder: the name of a socket has room for 107 bytes.
    let folder = std::fs::File::open(&shell.state_dir)?;
    let short = format!("/proc/self/fd/{}/{SOCKET_FILE}", folder.as_raw_fd());
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(shell: &Shell, mut stream: UnixStream) -> io::Result<()> {
    let mut text = Vec::new();
    let mut bounded = (&mut stream).take(MAX_REQUEST_BYTES);
    tokio::time::timeout(ASKING_TIME, bounded.read_to_end(&mut text)).await??;
    let answered = match serde_json::from_slice::<Request>(&text) {
        Ok(request) => consider(shell, request).await,
        Err(error) => {
            Answer::Refused { usage: true, message: format!("read the request: {error}") }
        }
    };
    stream.write_all(&serde_json::to_vec(&answered)?).await
}

async fn consider(shell: &Shell, request: Request) -> Answer {
    let Ok(_alone) = shell.hands.try_lock() else {
        let message = "have the host alone: resources are being worked on, ask again".to_owned();
        return Answer::Refused { usage: false, message };
    };
    let current = shell.activator.current().ok().flatten();
    let bundle = current.map_or(Ok(None), |closure: ClosureId| shell.bundle(&closure));
    match bundle {
        Ok(bundle) => {
            tracing::info!(?request, "asked on this host");
            answer(&shell.activator, bundle, request).await
        }
        Err(error) => {
            let message = format!("read what runs: {error}");
            Answer::Refused { usage: false, message }
        }
    }
}
