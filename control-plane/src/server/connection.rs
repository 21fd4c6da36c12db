//! One connection: HTTP/1.1 or HTTP/2, with limits on headers and on idleness.
//!
//! Not here: accepting it and its TLS (see [`super::listener`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;
use tower_http::timeout::TimeoutBody;

use super::Context;
use super::error::ApiError;
use super::identity::Peer;
use super::limiter::{Key, limited};

/// The most bytes of a request's headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// A connection that may ask nothing is told so for this long. The next one may find a place.
const CROWDED_LIFE: Duration = Duration::from_secs(1);

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

    /// Until a connection has nothing to say any more, or may say nothing.
    async fn until_given_up(&self, is_crowded: bool, idle: Duration) {
        if is_crowded {
            tokio::time::sleep(CROWDED_LIFE).await;
        } else {
            self.until_idle(idle).await;
        }
    }

    async fn until_idle(&self, patience: Duration) {
        loop {
            let idle = self.idle_for();
            if idle >= patience {
                return;
            }
            tokio::time::sleep(patience.saturating_sub(idle)).await;
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

/// What a connection is served with.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) context: Context,
}

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) peer: Peer,
    /// Whom its requests are counted for.
    pub(super) key: Key,
    /// It has more connections than it may have: this one is told so.
    pub(super) is_crowded: bool,
}

/// Serves the connection until it ends, is idle for too long, or the process stops.
pub(super) async fn serve<I>(io: I, http: Http, caller: Caller, service: Service, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let start = Instant::now();
    let activity = Arc::new(Activity {
        start,
        in_flight: AtomicUsize::new(0),
        last_millis: AtomicU64::new(0),
    });
    let limits = *service.context.limiter.limits();
    let is_crowded = caller.is_crowded;
    let answering = activity.clone();
    let answers = hyper::service::service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::begin(&answering);
        let (service, caller) = (service.clone(), caller.clone());
        async move {
            let response = match refuse(&service.context, &caller) {
                Some(refusal) => refusal.into_response(),
                None => {
                    let request =
                        request.map(|body| Body::new(TimeoutBody::new(limits.stall, body)));
                    answer(service.router, request, caller.peer).await
                }
            };
            Ok::<_, std::convert::Infallible>(until_sent(response, in_flight))
        }
    });
    let builder = builder(http, limits.headers);
    let connection = builder.serve_connection(TokioIo::new(io), answers).into_owned();
    tokio::select! {
        ended = watcher.watch(connection) => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke off");
        },
        () = activity.until_given_up(is_crowded, limits.idle) => {}
    }
}

/// Load is shed here: a refusal by the router would cost three times as much.
fn refuse(context: &Context, caller: &Caller) -> Option<ApiError> {
    if caller.is_crowded {
        return Some(limited("as many connections of this caller are open as there may be"));
    }
    context.limiter.request(&caller.key).err()
}

async fn answer(router: Router, mut request: Request<Body>, peer: Peer) -> Response<Body> {
    request.extensions_mut().insert(peer);
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The body keeps the request in flight until it has been sent.
fn until_sent(response: Response<Body>, in_flight: InFlight) -> Response<Body> {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &in_flight;
            frame
        }))
    })
}

fn builder(http: Http, headers: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
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
