//! `PUT /v1/blobs/{id}`: a closure, an asset or a hosts table, streamed to disk and checked.
//!
//! Not here: what is done with it (see [`super::releases`]).

use axum::extract::{Request, State};
use axum::http::StatusCode;
use wavegate_proto::ids::BlobId;
use wavegate_proto::wire::problem::ProblemCode;

use crate::blobs::Put;
use crate::server::Context;
use crate::server::arguments::PathId;
use crate::server::body::declared_length;
use crate::server::error::ApiError;

/// 201 when it is new, 200 when it was known.
pub(in crate::server) async fn upload(
    State(context): State<Context>,
    PathId(id): PathId<BlobId>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    context.disk.require_room()?;
    let max = context.max_blob_bytes;
    let declared = declared_length(&request).and_then(|length| u64::try_from(length).ok());
    if declared.is_some_and(|length| length > max) {
        return Err(ApiError::new(ProblemCode::TooLarge, format!("above {max} bytes")));
    }
    let content = request.into_body().into_data_stream();
    Ok(match context.blobs.put(id, content, max).await? {
        Put::New => StatusCode::CREATED,
        Put::Known => StatusCode::OK,
    })
}
