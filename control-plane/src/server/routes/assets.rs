//! `GET /v1/closures/{id}` and `GET /v1/assets/{id}`: the exact bytes. An operator may fetch all; a host
//! only what its own signed entries name, and the assets which those closures name.
//!
//! Not here: uploads (see [`super::blobs`]).

use std::net::Ipv4Addr;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tower_http::services::ServeFile;
use wavegate_proto::ids::{BlobId, HostName};
use wavegate_proto::wire::problem::ProblemCode;

use crate::blobs::{BlobError, MAX_CLOSURE_BYTES, named_assets};
use crate::core::{Answer, HostBlobs, Query};
use crate::server::Context;
use crate::server::arguments::PathId;
use crate::server::error::ApiError;
use crate::server::identity::{Caller, Peer};
use crate::server::limiter::Key;

/// `GET /v1/closures/{id}`.
pub(in crate::server) async fn closure(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    PathId(id): PathId<BlobId>,
    request: Request,
) -> Result<Response, ApiError> {
    if let Some(host) = calling_host(&peer)
        && !documents(&host_blobs(&context, host).await?).any(|own| own == id)
    {
        return Err(not_yours(id));
    }
    send(&context, &peer, request, id, "application/json").await
}

/// `GET /v1/assets/{id}`.
pub(in crate::server) async fn asset(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    PathId(id): PathId<BlobId>,
    request: Request,
) -> Result<Response, ApiError> {
    if let Some(host) = calling_host(&peer)
        && !names_asset(&context, &host_blobs(&context, host).await?, id).await?
    {
        return Err(not_yours(id));
    }
    send(&context, &peer, request, id, "application/octet-stream").await
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

/// The bytes, or the part of them that a `Range` header asks for (RFC 9110, 14): a download that broke off
/// goes on where it was.
async fn send(
    context: &Context,
    peer: &Peer,
    request: Request,
    id: BlobId,
    media_type: &'static str,
) -> Result<Response, ApiError> {
    let Some(path) = context.blobs.file(id) else {
        return Err(ApiError::new(ProblemCode::UnknownBlob, id.to_string()));
    };
    let place = context.downloads.admit(&Key::of(peer, Ipv4Addr::UNSPECIFIED.into()))?;
    let sent = ServeFile::new(path).try_call(request).await.map_err(BlobError::from)?;
    if sent.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        let detail = format!("{id} has no such bytes");
        return Err(ApiError::new(ProblemCode::RangeNotSatisfiable, detail));
    }
    let mut response = sent.map(|body| context.downloads.paced(Body::new(body), place));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
