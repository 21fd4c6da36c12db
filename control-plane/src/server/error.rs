//! The one place where errors become problem documents (RFC 9457).
//!
//! Not here: the codes (see `wavegate_proto::wire::problem`).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wavegate_proto::artifact::rules::Violation;
use wavegate_proto::wire::problem::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};

use crate::blobs::BlobError;
use crate::store::StoreError;

/// When to come back after `no-release` and the like, in seconds.
const RETRY_AFTER_SECS: u64 = 2;

/// A response that is a problem document.
#[derive(Debug)]
pub(super) struct ApiError(Box<Problem>);

impl ApiError {
    pub(super) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    pub(super) fn bad_request(error: impl std::fmt::Display) -> Self {
        Self::new(ProblemCode::BadRequest, error.to_string())
    }

    /// For answers of a kind that the request does not have: a bug, said as such.
    pub(super) fn unexpected_answer() -> Self {
        tracing::error!("the reducer answered with a document of another kind");
        Self::new(ProblemCode::Internal, "an answer of another kind")
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        Self::new(ProblemCode::Rule(violation.code), violation.detail)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a read failed");
        Self::new(ProblemCode::Internal, "the database cannot be read")
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        let code = match &error {
            BlobError::HashMismatch { .. } => ProblemCode::HashMismatch,
            BlobError::TooLarge { .. } | BlobError::OverQuota { .. } => ProblemCode::TooLarge,
            BlobError::NoSpace => ProblemCode::Overloaded,
            BlobError::BrokenOff(_) => ProblemCode::BadRequest,
            BlobError::Io(_) => ProblemCode::Internal,
        };
        if matches!(error, BlobError::NoSpace | BlobError::Io(_)) {
            tracing::error!(%error, "the blob folder cannot be used");
        }
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let media_type = HeaderValue::from_static(PROBLEM_MEDIA_TYPE);
        let mut response = (status, [(header::CONTENT_TYPE, media_type)], body).into_response();
        let headers = response.headers_mut();
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("wavegate/1"));
            }
            _ => {}
        }
        response
    }
}

pub(super) async fn not_found() -> ApiError {
    ApiError::new(ProblemCode::NotFound, "no route has this path")
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(ProblemCode::MethodNotAllowed, "the route has other methods, see Allow")
}

/// A handler panicked: a bug. The process goes on; nothing it had not committed was answered.
#[allow(clippy::needless_pass_by_value)]
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = text, "a request panicked");
    ApiError::new(ProblemCode::Internal, "this request met a bug").into_response()
}
