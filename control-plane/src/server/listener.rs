//! Accepting connections, on both listeners, until the process stops.
//!
//! Not here: HTTP (see [`super::connection`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use wavegate_proto::ids::FleetName;

use super::connection::{self, Http};
use super::identity::Peer;
use super::{Context, LiveTls, router};

/// The most connections of both listeners; the kernel's queue holds the next ones.
pub const MAX_CONNECTIONS: usize = 16_000;

/// The longest a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after a failed accept: the process is out of files, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How connections of a listener begin.
#[derive(Clone)]
enum Transport {
    Tls { tls: Arc<LiveTls>, fleet: FleetName },
    Plain,
}

/// Both listeners, accepting.
pub struct Listeners {
    tasks: Vec<tokio::task::JoinHandle<GracefulShutdown>>,
}

/// Binds `address`.
///
/// # Errors
/// When it is in use or not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

impl Listeners {
    /// Accepts on both until `context.stopping` is cancelled.
    ///
    /// # Errors
    /// When the status listener has no address.
    pub fn start(
        context: &Context,
        https: TcpListener,
        status: Option<TcpListener>,
    ) -> io::Result<Self> {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let transport =
            Transport::Tls { tls: context.tls.clone(), fleet: context.trust.fleet.clone() };
        let router = router::mtls(context.clone());
        let stop = context.stopping.clone();
        let mut tasks =
            vec![tokio::spawn(accept(https, transport, router, permits.clone(), stop.clone()))];
        if let Some(status) = status {
            let router = router::status(context.clone(), status.local_addr()?);
            tasks.push(tokio::spawn(accept(status, Transport::Plain, router, permits, stop)));
        }
        Ok(Self { tasks })
    }

    /// Waits until the connections have finished their requests, at most `patience`.
    pub async fn finish(self, patience: Duration) {
        let finished = async {
            for task in self.tasks {
                if let Ok(graceful) = task.await {
                    graceful.shutdown().await;
                }
            }
        };
        if tokio::time::timeout(patience, finished).await.is_err() {
            tracing::warn!("connections that did not finish in time are cut");
        }
    }
}

async fn accept(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => return graceful,
            next = next => next,
        };
        match (permit, accepted) {
            (Ok(permit), Ok((stream, _))) => {
                let serving =
                    serve(stream, transport.clone(), router.clone(), graceful.watcher(), permit);
                tokio::spawn(serving);
            }
            (Err(_), Ok(_)) => return graceful,
            (Ok(_) | Err(_), Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    transport: Transport,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    permit: OwnedSemaphorePermit,
) {
    // Without it, small answers wait 40 ms for the peer's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "set TCP_NODELAY");
    }
    match transport {
        Transport::Plain => {
            connection::serve(stream, Http::One, Peer::Local, router, watcher).await;
        }
        Transport::Tls { tls, fleet } => {
            let acceptor = TlsAcceptor::from(tls.load().server.config.clone());
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
            match handshake.await {
                Ok(Ok(stream)) => {
                    let (http, peer) = negotiated(stream.get_ref().1, &fleet);
                    connection::serve(stream, http, peer, router, watcher).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
    drop(permit);
}

fn negotiated(session: &rustls::ServerConnection, fleet: &FleetName) -> (Http, Peer) {
    let http = if session.alpn_protocol() == Some(b"h2") { Http::Two } else { Http::One };
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let peer = leaf.map_or(Peer::Anonymous, |leaf| Peer::of_certificate(leaf, fleet));
    (http, peer)
}
