//! One connection: HTTP/1.1 or HTTP/2, with limits on headers and on idleness.
//!
//! Not here: accepting it and its TLS (see [`super::listener`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use super::identity::Peer;

/// The most bytes of a request's headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The longest an HTTP/1.1 client may take for its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest a connection may stay without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(180);

/// How often a silent HTTP/2 peer is asked whether it is there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// Which HTTP the client speaks, by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

/// What a connection has to do.
#[derive(Debug)]
struct Activity {
    start: Instant,
    in_flight: AtomicUsize,
    last_millis: AtomicU64,
}

/// A request, until its response has been sent or dropped.
struct InFlight(Arc<Activity>);

impl Activity {
    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn idle_for(&self) -> Duration {
        if self.in_flight.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        let last = self.last_millis.load(Ordering::Acquire);
        Duration::from_millis(self.millis().saturating_sub(last))
    }

    async fn until_idle(&self) {
        loop {
            let idle = self.idle_for();
            if idle >= IDLE_TIMEOUT {
                return;
            }
            tokio::time::sleep(IDLE_TIMEOUT.saturating_sub(idle)).await;
        }
    }
}

impl InFlight {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(activity.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.last_millis.store(self.0.millis(), Ordering::Release);
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves the connection until it ends, is idle for too long, or the process stops.
pub(super) async fn serve<I>(io: I, http: Http, peer: Peer, router: Router, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let start = Instant::now();
    let activity = Arc::new(Activity {
        start,
        in_flight: AtomicUsize::new(0),
        last_millis: AtomicU64::new(0),
    });
    let answering = activity.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::begin(&answering);
        let (router, peer) = (router.clone(), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(router, request, peer, in_flight).await) }
    });
    let builder = builder(http);
    let connection = builder.serve_connection(TokioIo::new(io), service).into_owned();
    tokio::select! {
        ended = watcher.watch(connection) => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke off");
        },
        () = activity.until_idle() => {}
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: Peer,
    in_flight: InFlight,
) -> Response<Body> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    // The body keeps the request in flight until it has been sent.
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &in_flight;
            frame
        }))
    })
}

fn builder(http: Http) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(16 * 1024)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL);
    match http {
        Http::One => builder.http1_only(),
        Http::Two => builder.http2_only(),
    }
}
