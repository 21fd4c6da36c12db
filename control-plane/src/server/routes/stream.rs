//! `GET /v1/stream`: the log as it grows, as server-sent events. Only committed rows are in it; a reader
//! that comes back with `Last-Event-ID` misses none.
//!
//! Not here: how a reader that does not keep up is dealt with (see [`crate::server::streams`]).

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use wavegate_proto::ids::{HostName, LogSeq, RolloutId};
use wavegate_proto::wire::operator::EventItem;
use wavegate_proto::wire::problem::ProblemCode;

use crate::server::Context;
use crate::server::arguments::Arguments;
use crate::server::error::ApiError;
use crate::server::gate::check_peer;
use crate::server::identity::Peer;
use crate::server::streams::Outlet;
use crate::server::tails::leave_out;
use crate::store::EventQuery;
use crate::store::reader::EventRange;

const LAST_EVENT_ID: &str = "last-event-id";

/// A comment this often shows that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many rows are read at once.
const PAGE: usize = 200;

/// Which events, and from where.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct StreamArguments {
    after_seq: Option<u64>,
    rollout_id: Option<RolloutId>,
    host: Option<HostName>,
    kind: Option<String>,
}

/// `GET /v1/stream`.
pub(in crate::server) async fn stream(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Arguments(arguments): Arguments<StreamArguments>,
) -> Result<Response, ApiError> {
    let resumed = headers.get(LAST_EVENT_ID).map(read_event_id).transpose()?;
    let permit = context.streams.admit(&peer).ok_or_else(|| {
        ApiError::new(ProblemCode::Overloaded, "as many streams are open as there may be")
    })?;
    let after = resumed.or(arguments.after_seq.map(LogSeq));
    let (rows, reader) = mpsc::channel(PAGE);
    let feed = Feed {
        after: after.unwrap_or_else(|| context.committed.borrow().seq),
        outlet: Outlet::new(rows, context.committed.clone()),
        context,
        peer,
        arguments,
        _permit: permit,
    };
    tokio::spawn(feed.run());
    let events = futures_util::stream::unfold(reader, |mut reader| async {
        let event = reader.recv().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn read_event_id(value: &HeaderValue) -> Result<LogSeq, ApiError> {
    let seq = value.to_str().ok().and_then(|text| text.parse().ok());
    let bad = || ApiError::bad_request("Last-Event-ID is no position in the log");
    seq.map(LogSeq).ok_or_else(bad)
}

/// One stream.
struct Feed {
    context: Context,
    peer: Peer,
    arguments: StreamArguments,
    /// The last row that has been looked at.
    after: LogSeq,
    outlet: Outlet<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    /// Until the reader goes, falls behind or may not read any more, or the process stops.
    async fn run(mut self) {
        let stopping = self.context.stopping.clone();
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.feed() => {}
        }
    }

    async fn feed(&mut self) {
        let mut committed = self.context.committed.clone();
        loop {
            let end = committed.borrow_and_update().seq;
            if !self.may_read() {
                return;
            }
            if self.after < end {
                if !self.send_page(end).await {
                    return;
                }
                continue;
            }
            tokio::select! {
                changed = committed.changed() => if changed.is_err() {
                    return;
                },
                () = self.outlet.closed() => return,
            }
        }
    }

    /// A certificate may be revoked, or expire, while the stream is open.
    fn may_read(&self) -> bool {
        matches!(self.peer, Peer::Local) || check_peer(&self.context, Some(&self.peer)).is_ok()
    }

    /// Hands on the next rows up to `end`; false: nothing more is to be sent.
    async fn send_page(&mut self, end: LogSeq) -> bool {
        let query = EventQuery {
            range: EventRange::Ascending { from: self.after.next() },
            limit: PAGE,
            rollout_id: self.arguments.rollout_id.clone(),
            host: self.arguments.host.clone(),
            kind: self.arguments.kind.clone(),
        };
        let page = match self.context.events.page(query).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "a stream ends: the log cannot be read");
                return false;
            }
        };
        for mut item in page.items {
            let seq = item.seq;
            leave_out(&mut item, &self.peer);
            let Some(event) = as_event(&item) else { return false };
            if !self.outlet.send(seq, event).await {
                return false;
            }
            self.after = seq;
        }
        self.after = match page.next {
            Some(next) => LogSeq(next.0.saturating_sub(1)),
            None => self.after.max(end),
        };
        true
    }
}

fn as_event(item: &EventItem) -> Option<Event> {
    let event = Event::default().id(item.seq.to_string()).event(&item.kind).json_data(item);
    event.inspect_err(|error| tracing::error!(%error, "a row of the log is no JSON")).ok()
}
