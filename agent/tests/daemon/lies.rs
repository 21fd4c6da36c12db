//! How a route of the test's control plane misbehaves.
//!
//! Not here: lies that are well-formed answers (see `taken_over`).

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use wavegate_proto::wire::problem::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};

/// How a route misbehaves.
#[derive(Clone)]
pub(crate) enum Lie {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A body without an end.
    Endless,
    /// A byte now and then, without an end.
    Drip,
    /// These bytes, announced as so many.
    Length(u64, Vec<u8>),
    /// Headers of so many bytes.
    Headers(usize),
    /// This status, and nothing else.
    Status(u16),
    /// A problem document with these members.
    Problem(Value),
    /// 503 so many times, then the truth.
    Busy(usize),
    /// Go elsewhere.
    Redirect(&'static str),
    /// Waits this long before it tells the truth.
    Late(Duration),
}

impl Lie {
    /// What is answered instead of the truth; `None`: the truth, after all.
    pub(crate) async fn response(self) -> Option<Response> {
        Some(match self {
            Self::Bytes(bytes) => bytes.into_response(),
            Self::Endless => endless(64 * 1024, Duration::ZERO),
            Self::Drip => endless(1, Duration::from_millis(200)),
            Self::Length(length, bytes) => {
                let mut response =
                    Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(
                        Bytes::from(bytes),
                    )]))
                    .into_response();
                response.headers_mut().insert("content-length", HeaderValue::from(length));
                response
            }
            Self::Headers(bytes) => {
                let mut response = StatusCode::OK.into_response();
                for number in 0..bytes / 1024 {
                    let name = HeaderName::try_from(format!("x-{number}")).unwrap();
                    let value = HeaderValue::try_from("v".repeat(1024)).unwrap();
                    response.headers_mut().insert(name, value);
                }
                response
            }
            Self::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Self::Problem(members) => {
                let status = members["status"].as_u64().unwrap();
                let status = StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap();
                let kind = [("content-type", PROBLEM_MEDIA_TYPE)];
                (status, kind, members.to_string()).into_response()
            }
            Self::Busy(0) => return None,
            Self::Busy(_) => problem(&Problem::new(ProblemCode::Overloaded, "busy")),
            Self::Redirect(to) => {
                (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response()
            }
            Self::Late(wait) => {
                tokio::time::sleep(wait).await;
                return None;
            }
        })
    }
}

fn endless(size: usize, pause: Duration) -> Response {
    let chunk = Bytes::from(vec![b' '; size]);
    let stream = futures_util::stream::unfold((), move |()| {
        let chunk = chunk.clone();
        async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, std::io::Error>(chunk), ()))
        }
    });
    Body::from_stream(stream).into_response()
}

/// A problem document as an honest control plane sends it, to be tried again at once.
pub(crate) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    let kind = [("content-type", PROBLEM_MEDIA_TYPE), ("retry-after", "0")];
    (status, kind, serde_json::to_vec(problem).unwrap()).into_response()
}
