//! Reading answers within limits (G2), and problem documents.

use std::time::Duration;

use reqwest::Response;
use serde::de::DeserializeOwned;
use wavegate_proto::json::{MAX_JSON_DEPTH, depth_within};
use wavegate_proto::wire::problem::{PROBLEM_MEDIA_TYPE, Problem};

use super::error::{ClientError, MAX_RETRY_AFTER};

/// The most bytes of a problem document.
const MAX_PROBLEM_BYTES: u64 = 64 * 1024;

/// Reads the whole body, at most `limit_bytes`.
pub(super) async fn read(mut response: Response, limit_bytes: u64) -> Result<Vec<u8>, ClientError> {
    let too_large = || ClientError::TooLarge { limit_bytes };
    if response.content_length().is_some_and(|length| length > limit_bytes) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if (body.len() + chunk.len()) as u64 > limit_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a JSON body, at most `limit_bytes` and not nested without end.
pub(super) async fn read_json<T: DeserializeOwned>(
    response: Response,
    limit_bytes: u64,
) -> Result<T, ClientError> {
    let body = read(response, limit_bytes).await?;
    if !depth_within(&body, MAX_JSON_DEPTH) {
        return Err(ClientError::BadAnswer(format!("it nests deeper than {MAX_JSON_DEPTH}")));
    }
    serde_json::from_slice(&body).map_err(|e| ClientError::BadAnswer(e.to_string()))
}

/// The response if it is a success, else the problem it tells of.
pub(super) async fn check(response: Response) -> Result<Response, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = retry_after(&response);
    let is_problem = response
        .headers()
        .get(reqwest::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with(PROBLEM_MEDIA_TYPE));
    let plain = ClientError::Status { status: status.as_u16(), retry_after };
    if !is_problem {
        return Err(plain);
    }
    match read_json::<Problem>(response, MAX_PROBLEM_BYTES).await {
        Ok(problem) => Err(ClientError::Problem { problem: Box::new(problem), retry_after }),
        Err(_) => Err(plain),
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3), bounded; dates are not understood.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(reqwest::header::RETRY_AFTER)?;
    let secs = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(secs).min(MAX_RETRY_AFTER))
}
