//! Reading bodies: bounded in size, depth and time before they are parsed.
//!
//! Not here: blobs, which are streamed (see `routes`).

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use wavegate_proto::json::{MAX_JSON_DEPTH, depth_within};
use wavegate_proto::wire::problem::ProblemCode;

use super::error::ApiError;

/// The most bytes of a route's body; set by the route table.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimit(pub(super) usize);

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        require_json(&request)?;
        parse(&read(request).await?).map(Self)
    }
}

/// A JSON body and how many bytes it has.
pub(super) struct Weighed<T>(pub(super) T, pub(super) usize);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Weighed<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        require_json(&request)?;
        let bytes = read(request).await?;
        Ok(Self(parse(&bytes)?, bytes.len()))
    }
}

/// A JSON body that may be left out.
pub(super) struct OptionalJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let media_type = require_json(&request);
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        media_type?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if !depth_within(bytes, MAX_JSON_DEPTH) {
        let detail = format!("it nests deeper than {MAX_JSON_DEPTH}");
        return Err(ApiError::new(ProblemCode::BadJson, detail));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::new(ProblemCode::BadJson, error.to_string()))
}

fn require_json(request: &Request) -> Result<(), ApiError> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(ProblemCode::UnsupportedMediaType, "send application/json"))
}

async fn read(request: Request) -> Result<Bytes, ApiError> {
    let limit = request.extensions().get::<BodyLimit>().map_or(0, |limit| limit.0);
    let too_large = || ApiError::new(ProblemCode::TooLarge, format!("above {limit} bytes"));
    if declared_length(&request).is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::bad_request(format!("the body broke off: {error}"))),
    }
}

/// What the client says the body's length will be, in bytes.
pub(super) fn declared_length(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
