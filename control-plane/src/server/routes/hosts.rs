//! `GET /v1/hosts…`.
//!
//! Not here: hosts of one rollout (see [`super::rollouts`]).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use wavegate_proto::ids::{ChannelName, HostName};
use wavegate_proto::record::HostState;

use super::document;
use crate::core::{HostFilter, Query};
use crate::server::Context;
use crate::server::arguments::{Arguments, PageArguments, PathId};
use crate::server::error::ApiError;

/// Which hosts, and which page of them.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct ListArguments {
    channel: Option<ChannelName>,
    tag: Option<String>,
    state: Option<HostState>,
    online: Option<bool>,
    member: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/hosts`.
pub(in crate::server) async fn list(
    State(context): State<Context>,
    Arguments(arguments): Arguments<ListArguments>,
) -> Result<Response, ApiError> {
    let ListArguments { channel, tag, state, online, member, limit, cursor } = arguments;
    let page = PageArguments { limit, cursor }.request()?;
    let filter = HostFilter { channel, tag, state, online, member };
    document(&context, Query::Hosts { filter, page }).await
}

/// `GET /v1/hosts/{host}`.
pub(in crate::server) async fn show(
    State(context): State<Context>,
    PathId(host): PathId<HostName>,
) -> Result<Response, ApiError> {
    document(&context, Query::Host(host)).await
}

/// `GET /v1/hosts/{host}/explain`.
pub(in crate::server) async fn explain(
    State(context): State<Context>,
    PathId(host): PathId<HostName>,
) -> Result<Response, ApiError> {
    document(&context, Query::Explain(host)).await
}
