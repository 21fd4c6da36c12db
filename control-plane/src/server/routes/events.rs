//! `GET /v1/events` and `GET /v1/rollouts/{id}/events`: the log, from either end (O3).
//!
//! Not here: the log as it grows (see `stream`).

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use wavegate_proto::ids::{HostName, LogSeq, RolloutId};
use wavegate_proto::wire::operator::Page;
use wavegate_proto::wire::problem::ProblemCode;

use crate::server::Context;
use crate::server::arguments::{Arguments, RolloutPath, page_limit};
use crate::server::error::ApiError;
use crate::server::identity::Peer;
use crate::server::tails::leave_out;
use crate::store::EventQuery;
use crate::store::reader::{EventPage, EventRange};

/// Which end the list begins at.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    #[default]
    Asc,
    Desc,
}

/// Which events, and which page of them.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct ListArguments {
    after_seq: Option<u64>,
    before_seq: Option<u64>,
    #[serde(default)]
    order: Order,
    rollout_id: Option<RolloutId>,
    host: Option<HostName>,
    kind: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/events`.
pub(in crate::server) async fn list(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    Arguments(arguments): Arguments<ListArguments>,
) -> Result<Response, ApiError> {
    page(&context, &peer, arguments).await
}

/// `GET /v1/rollouts/{id}/events`.
pub(in crate::server) async fn of_rollout(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    rollout: RolloutPath,
    Arguments(arguments): Arguments<ListArguments>,
) -> Result<Response, ApiError> {
    let arguments = ListArguments { rollout_id: Some(rollout.0), ..arguments };
    page(&context, &peer, arguments).await
}

async fn page(
    context: &Context,
    peer: &Peer,
    arguments: ListArguments,
) -> Result<Response, ApiError> {
    let EventPage { mut items, next } = context.events.page(query(arguments)?).await?;
    items.iter_mut().for_each(|item| leave_out(item, peer));
    Ok(Json(Page { items, next_cursor: next.map(|seq| seq.to_string()) }).into_response())
}

fn query(arguments: ListArguments) -> Result<EventQuery, ApiError> {
    let cursor = arguments.cursor.as_deref().map(read_cursor).transpose()?;
    let range = match arguments.order {
        Order::Asc => {
            let after = LogSeq(arguments.after_seq.unwrap_or(0)).next();
            EventRange::Ascending { from: cursor.unwrap_or(after) }
        }
        Order::Desc => {
            let before = arguments.before_seq.map(|seq| LogSeq(seq.saturating_sub(1)));
            EventRange::Descending { from: cursor.or(before) }
        }
    };
    Ok(EventQuery {
        range,
        limit: page_limit(arguments.limit)?,
        rollout_id: arguments.rollout_id,
        host: arguments.host,
        kind: arguments.kind,
    })
}

/// The seq that a page begins with.
fn read_cursor(text: &str) -> Result<LogSeq, ApiError> {
    let bad = |_| ApiError::new(ProblemCode::BadCursor, "it is no position in the log");
    text.parse().map(LogSeq).map_err(bad)
}
