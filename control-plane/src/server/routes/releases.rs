//! `POST /v1/releases`: a release whose blobs have been uploaded, adopted whole or not at all; and
//! `POST /v1/releases/plan`: the same, only planned.
//!
//! Not here: adopting (see [`crate::workers::release`]), planning (see [`crate::forecast`]).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wavegate_proto::artifact::fleet::MAX_FLEET_BYTES;
use wavegate_proto::artifact::release::{ReleaseFiles, RolloutFiles};
use wavegate_proto::ids::BlobId;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_proto::wire::publish::PublishRequest;

use crate::blobs::BlobStore;
use crate::server::Context;
use crate::server::arguments::CallingOperator;
use crate::server::body;
use crate::server::error::ApiError;
use crate::workers::release::Outcome;

/// 201 when it was adopted, 200 when it was the adopted one already.
pub(in crate::server) async fn publish(
    State(context): State<Context>,
    CallingOperator(operator): CallingOperator,
    body::Json(request): body::Json<PublishRequest>,
) -> Result<Response, ApiError> {
    context.scopes.require_whole_fleet(&operator)?;
    let files = files(&context.blobs, request).await?;
    let (outcome, answer) = context.publisher.publish(files).await?;
    let status = match outcome {
        Outcome::Adopted => StatusCode::CREATED,
        Outcome::Known => StatusCode::OK,
    };
    Ok((status, Json(answer)).into_response())
}

/// What adopting it would do. Nothing is adopted, and nothing is noted.
pub(in crate::server) async fn plan(
    State(context): State<Context>,
    body::Json(request): body::Json<PublishRequest>,
) -> Result<Response, ApiError> {
    let files = files(&context.blobs, request).await?;
    Ok(Json(context.publisher.plan(files).await?).into_response())
}

async fn files(blobs: &BlobStore, request: PublishRequest) -> Result<ReleaseFiles, ApiError> {
    let mut missing = Vec::new();
    let fleet = match (request.fleet, request.fleet_sha256) {
        (Some(text), None) => decode("fleet", &text)?,
        (None, Some(id)) => large(blobs, id, &mut missing).await?,
        (Some(_), Some(_)) | (None, None) => {
            let detail = "give exactly one of fleet and fleet_sha256";
            return Err(ApiError::new(ProblemCode::BadRequest, detail));
        }
    };
    let mut rollouts = Vec::new();
    for rollout in request.rollouts {
        let hosts = large(blobs, rollout.hosts_sha256, &mut missing).await?;
        let header = decode("header", &rollout.header)?;
        rollouts.push(RolloutFiles { header, sig: rollout.sig, hosts });
    }
    if !missing.is_empty() {
        let detail = format!("{} to be uploaded first", missing.len());
        let problem = Problem::new(ProblemCode::MissingBlobs, detail);
        return Err(Problem { missing: Some(missing), ..problem }.into());
    }
    Ok(ReleaseFiles { fleet, fleet_sig: request.fleet_sig, rollouts })
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD.decode(text).map_err(|error| ApiError::bad_request(format!("{what}: {error}")))
}

/// A fleet document or hosts table that was uploaded.
async fn large(
    blobs: &BlobStore,
    id: BlobId,
    missing: &mut Vec<BlobId>,
) -> Result<Vec<u8>, ApiError> {
    let max = u64::try_from(MAX_FLEET_BYTES).unwrap_or(u64::MAX);
    let bytes = blobs.read(id, max).await?;
    if bytes.is_none() {
        missing.push(id);
    }
    Ok(bytes.unwrap_or_default())
}
