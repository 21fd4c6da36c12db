//! `kind = "http"`: passes on the expected status and body. Redirects are answers, not followed; no
//! proxy is used.
//!
//! Not here: the time limit (see the module above).

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, Response};

use super::{CheckResult, MAX_OUTPUT_BYTES};

/// What passes.
pub(super) struct Expected<'a> {
    /// These; empty: 200 to 299.
    pub(super) status: &'a [u16],
    /// This, within the first 64 KiB.
    pub(super) body_contains: Option<&'a str>,
}

/// The client for all HTTP checks. A small host has no certificate authorities of its own; its checks over
/// plain HTTP need none, and those over HTTPS fail.
pub(super) fn client() -> Result<Client, reqwest::Error> {
    builder().build().or_else(|error| {
        tracing::warn!(%error, "this host knows no certificate authorities: https checks will fail");
        builder().tls_certs_only([]).build()
    })
}

fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .user_agent(concat!("wavegate-agent/", env!("CARGO_PKG_VERSION")))
}

/// Asks `url` once.
pub(super) async fn ask(
    client: &Client,
    (method, url): (&str, &str),
    headers: &BTreeMap<String, String>,
    expected: &Expected<'_>,
) -> CheckResult {
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return CheckResult::fail(format!("{method:?} is not a method"));
    };
    let headers = match header_map(headers) {
        Ok(headers) => headers,
        Err(name) => return CheckResult::fail(format!("header {name:?} cannot be sent")),
    };
    match client.request(method, url).headers(headers).send().await {
        Ok(response) => judge(response, expected).await,
        Err(error) => CheckResult::fail(describe(&error)),
    }
}

fn header_map(headers: &BTreeMap<String, String>) -> Result<HeaderMap, &str> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let parsed = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()));
        let (Ok(key), Ok(value)) = parsed else { return Err(name) };
        map.insert(key, value);
    }
    Ok(map)
}

async fn judge(response: Response, expected: &Expected<'_>) -> CheckResult {
    let status = response.status();
    let is_expected = if expected.status.is_empty() {
        status.is_success()
    } else {
        expected.status.contains(&status.as_u16())
    };
    if !is_expected {
        return CheckResult::fail(format!("status {}", status.as_u16()));
    }
    let Some(wanted) = expected.body_contains else { return CheckResult::pass() };
    match first_bytes(response).await {
        Ok(body) if contains(&body, wanted.as_bytes()) => CheckResult::pass(),
        Ok(_) => CheckResult::fail(format!("body does not contain {wanted:?}")),
        Err(error) => CheckResult::fail(describe(&error)),
    }
}

/// Reads no more than is looked at: an endless body ends here.
async fn first_bytes(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < MAX_OUTPUT_BYTES {
        let Some(chunk) = response.chunk().await? else { break };
        let room = MAX_OUTPUT_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(body)
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}

/// The error with its causes: the outermost alone says only "error sending request".
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
