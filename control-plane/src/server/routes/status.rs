//! `GET /v1/status`.
//!
//! Not here: `/healthz` and `/readyz` (see [`super::health`]).

use axum::extract::State;
use axum::response::Response;

use super::document;
use crate::core::Query;
use crate::server::Context;
use crate::server::error::ApiError;

/// The fleet at a glance.
pub(in crate::server) async fn status(
    State(context): State<Context>,
) -> Result<Response, ApiError> {
    document(&context, Query::Status).await
}
