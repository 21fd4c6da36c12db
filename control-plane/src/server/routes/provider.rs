//! `PUT /v1/hosts/{host}/provider`: what the provider of a host's machine says.
//!
//! Not here: what is made of it (see [`crate::core`]).

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::provider::ProviderSync;

use crate::core::{Answer, Input};
use crate::server::Context;
use crate::server::arguments::{CallingOperator, PathId};
use crate::server::body::Json;
use crate::server::error::ApiError;

/// Takes what an operator, or their script, tells of a host on a channel of theirs.
pub(in crate::server) async fn sync(
    State(context): State<Context>,
    CallingOperator(by): CallingOperator,
    PathId(host): PathId<HostName>,
    Json(sync): Json<ProviderSync>,
) -> Result<Response, ApiError> {
    context.scopes.require_host(&by, &host)?;
    let told = |reply| Input::SyncProvider { host, sync, by, reply };
    let Answer::Document(document) = context.handle.call(told).await? else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(axum::Json(document).into_response())
}
