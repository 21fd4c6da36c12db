//! `GET /v1/agent/trust`: the next versions of the trust file, for hosts. `POST /v1/trust`: the next
//! version, from an operator.
//!
//! Not here: which version follows which (see `wavegate_proto::trust`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use wavegate_proto::trust::chain::Followed;
use wavegate_proto::trust::rotation::SignedTrust;

use crate::server::Context;
use crate::server::arguments::{Arguments, CallingHost, CallingOperator};
use crate::server::body;
use crate::server::error::ApiError;

/// After which version.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct AfterArguments {
    #[serde(default)]
    after: u64,
}

/// The versions after the one that the host goes by.
pub(in crate::server) async fn after(
    State(context): State<Context>,
    _host: CallingHost,
    Arguments(arguments): Arguments<AfterArguments>,
) -> Response {
    Json(context.trust.chain().after(arguments.after)).into_response()
}

/// 201 when it holds from now on, 200 when it was known.
pub(in crate::server) async fn publish(
    State(context): State<Context>,
    CallingOperator(operator): CallingOperator,
    body::Json(offered): body::Json<SignedTrust>,
) -> Result<Response, ApiError> {
    context.scopes.require_whole_fleet(&operator)?;
    let (followed, answer) = context.publisher.publish_trust(offered).await?;
    let status = match followed {
        Followed::New => StatusCode::CREATED,
        Followed::Known => StatusCode::OK,
    };
    Ok((status, Json(answer)).into_response())
}
