//! `GET /v1/status`.
//!
//! Not here: `/healthz` and `/readyz` (see [`super::health`]).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use crate::core::{Answer, Query};
use crate::server::Context;
use crate::server::error::ApiError;
use crate::server::expiries::certificates;

/// The fleet at a glance: what the live model says, and the certificates that it does not know.
pub(in crate::server) async fn status(
    State(context): State<Context>,
) -> Result<Response, ApiError> {
    let Answer::Status(mut status) = context.handle.query(Query::Status).await? else {
        return Err(ApiError::unexpected_answer());
    };
    status.expiries.extend(certificates(&context));
    status.expiries.sort_by_key(|expiry| expiry.at);
    Ok(Json(*status).into_response())
}
