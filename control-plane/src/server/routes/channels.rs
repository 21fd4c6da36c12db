//! `GET /v1/channels`.
//!
//! Not here: the rollouts on them (see [`super::rollouts`]).

use axum::extract::State;
use axum::response::Response;

use super::document;
use crate::core::Query;
use crate::server::Context;
use crate::server::arguments::{Arguments, PageArguments};
use crate::server::error::ApiError;

/// The channels, by name.
pub(in crate::server) async fn list(
    State(context): State<Context>,
    Arguments(page): Arguments<PageArguments>,
) -> Result<Response, ApiError> {
    document(&context, Query::Channels(page.request()?)).await
}
