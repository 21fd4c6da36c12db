//! `GET /v1/quarantines`.
//!
//! Not here: when a closure is quarantined (see [`crate::core`]).

use axum::extract::State;
use axum::response::Response;

use super::document;
use crate::core::Query;
use crate::server::Context;
use crate::server::arguments::{Arguments, PageArguments};
use crate::server::error::ApiError;

/// The quarantines, by channel and closure.
pub(in crate::server) async fn list(
    State(context): State<Context>,
    Arguments(page): Arguments<PageArguments>,
) -> Result<Response, ApiError> {
    document(&context, Query::Quarantines(page.request()?)).await
}
