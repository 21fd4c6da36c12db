//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Not here: counting (see [`crate::service::metrics`]).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use wavegate_proto::wire::operator::Readiness;
use wavegate_proto::wire::problem::ProblemCode;

use crate::clock::wall;
use crate::core::{Answer, Figures, Query};
use crate::issuing::Issuer;
use crate::server::Context;
use crate::server::error::ApiError;
use crate::service::metrics::{self as figures_text, Expiries};

/// The process is up.
pub(in crate::server) async fn healthz() -> &'static str {
    "ok"
}

/// The process serves: a release is loaded, its blobs are there. Recovering counts as ready.
pub(in crate::server) async fn readyz(State(context): State<Context>) -> Response {
    let mut reasons = Vec::new();
    match figures(&context).await {
        Ok(figures) if figures.serial.is_none() => reasons.push(ProblemCode::NoRelease),
        Ok(_) => {}
        Err(_) => reasons.push(ProblemCode::Overloaded),
    }
    if context.readiness.blobs_missing() {
        reasons.push(ProblemCode::MissingBlobs);
    }
    if context.stopping.is_cancelled() {
        reasons.push(ProblemCode::ShuttingDown);
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons = reasons.into_iter().map(|code| code.to_string()).collect();
    (status, Json(Readiness { ready, reasons })).into_response()
}

/// Everything that Prometheus reads.
pub(in crate::server) async fn metrics(
    State(context): State<Context>,
) -> Result<Response, ApiError> {
    let figures = figures(&context).await?;
    let depth = context.handle.queue_depth();
    let certificates = context.tls.load();
    let expiries = Expiries {
        control_plane: certificates.server.expires_at,
        issuer: certificates.issuer.as_ref().map(Issuer::not_after),
    };
    let text = figures_text::render(&figures, depth, wall(), expiries);
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

async fn figures(context: &Context) -> Result<Figures, ApiError> {
    let Answer::Figures(figures) = context.handle.query(Query::Figures).await? else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(*figures)
}
