//! `GET /v1/closures/{id}` and `GET /v1/assets/{id}`: the exact bytes. An operator may fetch all; a host
//! only what its own signed entries name, and the assets which those closures name.
//!
//! Not here: uploads (see [`super::blobs`]).

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use tokio_util::io::ReaderStream;
use wavegate_proto::ids::{BlobId, HostName};
use wavegate_proto::wire::problem::ProblemCode;

use crate::blobs::{MAX_CLOSURE_BYTES, named_assets};
use crate::core::{Answer, HostBlobs, Query};
use crate::server::Context;
use crate::server::arguments::PathId;
use crate::server::error::ApiError;
use crate::server::identity::{Caller, Peer};

/// `GET /v1/closures/{id}`.
pub(in crate::server) async fn closure(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    PathId(id): PathId<BlobId>,
) -> Result<Response, ApiError> {
    if let Some(host) = calling_host(&peer)
        && !documents(&host_blobs(&context, host).await?).any(|own| own == id)
    {
        return Err(not_yours(id));
    }
    send(&context, id, "application/json").await
}

/// `GET /v1/assets/{id}`.
pub(in crate::server) async fn asset(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    PathId(id): PathId<BlobId>,
) -> Result<Response, ApiError> {
    if let Some(host) = calling_host(&peer)
        && !names_asset(&context, &host_blobs(&context, host).await?, id).await?
    {
        return Err(not_yours(id));
    }
    send(&context, id, "application/octet-stream").await
}

fn calling_host(peer: &Peer) -> Option<&HostName> {
    let Peer::Known(identity) = peer else { return None };
    match &identity.caller {
        Caller::Host(name) => Some(name),
        Caller::Operator(_) | Caller::Viewer(_) => None,
    }
}

async fn host_blobs(context: &Context, host: &HostName) -> Result<HostBlobs, ApiError> {
    let Answer::HostBlobs(blobs) = context.handle.query(Query::HostBlobs(host.clone())).await?
    else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(blobs)
}

/// The closure documents that a host may fetch.
fn documents(blobs: &HostBlobs) -> impl Iterator<Item = BlobId> {
    let closures = blobs.closures.iter().filter_map(wavegate_proto::ids::ClosureId::blob);
    closures.chain(blobs.checks.iter().copied())
}

async fn names_asset(context: &Context, own: &HostBlobs, id: BlobId) -> Result<bool, ApiError> {
    for document in documents(own) {
        let Some(bytes) = context.blobs.read(document, MAX_CLOSURE_BYTES).await? else {
            continue;
        };
        if named_assets(&bytes).is_ok_and(|assets| assets.contains(&id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn not_yours(id: BlobId) -> ApiError {
    ApiError::new(ProblemCode::RoleForbidden, format!("no signed entry of this host names {id}"))
}

async fn send(
    context: &Context,
    id: BlobId,
    media_type: &'static str,
) -> Result<Response, ApiError> {
    let Some((file, length)) = context.blobs.open_file(id).await? else {
        return Err(ApiError::new(ProblemCode::UnknownBlob, id.to_string()));
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}
