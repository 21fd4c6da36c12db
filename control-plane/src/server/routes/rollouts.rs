//! `GET /v1/rollouts…`.
//!
//! Not here: their events (see [`super::events`]).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use wavegate_proto::ids::ChannelName;
use wavegate_proto::wire::operator::RolloutState;

use super::document;
use crate::core::Query;
use crate::server::Context;
use crate::server::arguments::{Arguments, PageArguments, RolloutPath};
use crate::server::error::ApiError;

/// Which rollouts, and which page of them.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct ListArguments {
    state: Option<RolloutState>,
    channel: Option<ChannelName>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/rollouts`.
pub(in crate::server) async fn list(
    State(context): State<Context>,
    Arguments(arguments): Arguments<ListArguments>,
) -> Result<Response, ApiError> {
    let ListArguments { state, channel, limit, cursor } = arguments;
    let page = PageArguments { limit, cursor }.request()?;
    document(&context, Query::Rollouts { state, channel, page }).await
}

/// `GET /v1/rollouts/{id}`.
pub(in crate::server) async fn show(
    State(context): State<Context>,
    rollout: RolloutPath,
) -> Result<Response, ApiError> {
    document(&context, Query::Rollout(rollout.0)).await
}

/// `GET /v1/rollouts/{id}/hosts`.
pub(in crate::server) async fn hosts(
    State(context): State<Context>,
    rollout: RolloutPath,
    Arguments(page): Arguments<PageArguments>,
) -> Result<Response, ApiError> {
    document(&context, Query::RolloutHosts { rollout_id: rollout.0, page: page.request()? }).await
}
