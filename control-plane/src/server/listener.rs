//! Accepting connections, on both listeners, until the process stops.
//!
//! Not here: HTTP (see [`super::connection`]).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use wavegate_proto::ids::FleetName;

use super::connection::{self, Caller, Http, Service};
use super::identity::Peer;
use super::limiter::{Key, Seat};
use super::{Context, LiveTls, router};

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
        let connections = match context.limiter.limits().connections {
            0 => Semaphore::MAX_PERMITS,
            connections => connections.min(Semaphore::MAX_PERMITS),
        };
        let permits = Arc::new(Semaphore::new(connections));
        let transport = Transport::Tls {
            tls: context.tls.clone(),
            fleet: context.trust.chain().trust().fleet.clone(),
        };
        let service = |router| Service { router, context: context.clone() };
        let mtls = service(router::mtls(context.clone()));
        let mut tasks = vec![tokio::spawn(accept(https, transport, mtls, permits.clone()))];
        if let Some(listener) = status {
            let status = service(router::status(context.clone(), listener.local_addr()?));
            tasks.push(tokio::spawn(accept(listener, Transport::Plain, status, permits)));
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
    service: Service,
    permits: Arc<Semaphore>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let stop = service.context.stopping.clone();
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
            (Ok(permit), Ok((stream, from))) => {
                let Some(seat) = service.context.limiter.connection_from(from.ip()) else {
                    tracing::debug!(%from, "as many connections from there as there may be");
                    continue;
                };
                let accepted = Accepted { stream, address: from.ip(), _held: (permit, seat) };
                let serving =
                    serve(accepted, transport.clone(), service.clone(), graceful.watcher());
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

/// A connection, and what it holds as long as it lasts.
struct Accepted {
    stream: TcpStream,
    address: IpAddr,
    _held: (OwnedSemaphorePermit, Seat),
}

async fn serve(accepted: Accepted, transport: Transport, service: Service, watcher: Watcher) {
    let Accepted { stream, address, _held } = accepted;
    // Without it, small answers wait 40 ms for the peer's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "set TCP_NODELAY");
    }
    let caller = |peer: Peer, is_crowded| Caller { key: Key::of(&peer, address), peer, is_crowded };
    match transport {
        Transport::Plain => {
            connection::serve(stream, Http::One, caller(Peer::Local, false), service, watcher)
                .await;
        }
        Transport::Tls { tls, fleet } => {
            let standing = tls.standing();
            let acceptor = TlsAcceptor::from(tls.load().server.config.clone());
            let patience = service.context.limiter.limits().handshake;
            let stream = match tokio::time::timeout(patience, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
                Err(_elapsed) => return tracing::debug!("a TLS handshake took too long"),
            };
            let (http, peer) = negotiated(stream.get_ref().1, &fleet);
            let Some(seat) = service.context.limiter.connection_of(&peer) else {
                return tracing::debug!(%address, "far too many connections of one caller");
            };
            let is_crowded = service.context.limiter.is_crowded(seat.as_ref());
            let session = stream.get_ref().1;
            let chain: Vec<_> = session.peer_certificates().unwrap_or_default().to_vec();
            let subject = caller(peer, is_crowded);
            tokio::select! {
                () = connection::serve(stream, http, subject, service, watcher) => {}
                () = standing.until_distrusted(&chain) => {
                    tracing::info!(%address, "the authority of a caller counts no more: cut");
                }
            }
        }
    }
}

fn negotiated(session: &rustls::ServerConnection, fleet: &FleetName) -> (Http, Peer) {
    let http = if session.alpn_protocol() == Some(b"h2") { Http::Two } else { Http::One };
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let peer = leaf.map_or(Peer::Anonymous, |leaf| Peer::of_certificate(leaf, fleet));
    (http, peer)
}
