//! `GET /v1/closures/{id}` and `GET /v1/assets/{id}`: the exact bytes. An operator may fetch all; a host
//! only what its own signed entries name, and the assets which those closures name.
//!
//! Not here: uploads (see [`super::blobs`]).

use std::io;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tower_http::services::ServeFile;
use wavegate_proto::ids::{BlobId, HostName};
use wavegate_proto::wire::problem::ProblemCode;

use crate::blobs::{BlobError, MAX_CLOSURE_BYTES, named_assets};
use crate::core::{Answer, HostBlobs, Query};
use crate::server::Context;
use crate::server::arguments::{Calling, PathId};
use crate::server::error::ApiError;
use crate::server::identity::Caller;

/// `GET /v1/closures/{id}`.
pub(in crate::server) async fn closure(
    State(context): State<Context>,
    Calling(identity): Calling,
    PathId(id): PathId<BlobId>,
    request: Request,
) -> Result<Response, ApiError> {
    if let Caller::Host(host) = &identity.caller
        && !documents(&host_blobs(&context, host).await?).any(|own| own == id)
    {
        return Err(not_yours(id));
    }
    send(&context, &identity.caller, request, id, "application/json").await
}

/// `GET /v1/assets/{id}`.
pub(in crate::server) async fn asset(
    State(context): State<Context>,
    Calling(identity): Calling,
    PathId(id): PathId<BlobId>,
    request: Request,
) -> Result<Response, ApiError> {
    if let Caller::Host(host) = &identity.caller
        && !names_asset(&context, &host_blobs(&context, host).await?, id).await?
    {
        return Err(not_yours(id));
    }
    send(&context, &identity.caller, request, id, "application/octet-stream").await
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
    caller: &Caller,
    request: Request,
    id: BlobId,
    media_type: &'static str,
) -> Result<Response, ApiError> {
    let place = context.downloads.admit(caller.subject())?;
    let mut file = ServeFile::new(context.blobs.path(id));
    let sent = file.try_call(request).await.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return ApiError::new(ProblemCode::UnknownBlob, id.to_string());
        }
        BlobError::from(error).into()
    })?;
    if sent.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        let detail = format!("{id} has no such bytes; ask for one range, within its length");
        return Err(ApiError::new(ProblemCode::RangeNotSatisfiable, detail));
    }
    let mut response = sent.map(|body| context.downloads.paced(Body::new(body), place));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
