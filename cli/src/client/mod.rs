//! The operator's API as a client: mTLS with the fleet's authority only, problems as errors.
//!
//! Not here: what is shown of the answers (see [`crate::show`]).

pub mod connection;
pub mod error;
pub mod stream;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Identity, Method, RequestBuilder, Url, tls};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wavegate_proto::ids::BlobId;
use wavegate_proto::trust::rotation::SignedTrust;
use wavegate_proto::wire::operator::{MAX_PAGE_LIMIT, Page, Status};
use wavegate_proto::wire::publish::PublishRequest;
use wavegate_proto::wire::trust::TrustPublished;

pub use connection::{Connection, ConnectionArgs, Security};
pub use error::ClientError;
pub use stream::EventStream;

use crate::keys::file::read_private;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Verifying and planning a large release takes its time.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(300);
/// A blob may be a gigabyte.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(1800);

/// A client of one control plane.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    url: Url,
}

/// The query of a list: names and values that are given.
pub type Query<'a> = [(&'a str, Option<String>)];

impl ApiClient {
    /// A client for `connection`.
    ///
    /// # Errors
    /// When a certificate or key cannot be read.
    pub fn new(connection: &Connection) -> Result<Self, ClientError> {
        // Only the first install counts; a process that has one already keeps it.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let bad = |error: reqwest::Error| ClientError::Config {
            message: format!("certificate or key: {error}"),
            hint: None,
        };
        let mut http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wavegate/", env!("CARGO_PKG_VERSION")));
        http = match &connection.security {
            // No system roots: reading them costs start-up time, and nothing here asks for them.
            Security::Plain => http.tls_certs_only([]),
            Security::Tls { ca, identity } => {
                let authority = Certificate::from_pem_bundle(&read(ca)?).map_err(bad)?;
                let mut http =
                    http.tls_certs_only(authority).tls_version_min(tls::Version::TLS_1_3);
                if let Some((certificate, key)) = identity {
                    let pem = [read(certificate)?, b"\n".to_vec(), read_key(key)?].concat();
                    http = http.identity(Identity::from_pem(&pem).map_err(bad)?);
                }
                http
            }
        };
        Ok(Self { http: http.build().map_err(bad)?, url: connection.url.clone() })
    }

    /// The exact bytes of `GET path`.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn get_bytes(&self, path: &str, query: &Query<'_>) -> Result<Bytes, ClientError> {
        let url = self.url_of(path, query);
        self.send(self.http.request(Method::GET, url.clone()).timeout(REQUEST_TIMEOUT), &url).await
    }

    /// `GET path` as `T`.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
    ) -> Result<T, ClientError> {
        let bytes = self.get_bytes(path, query).await?;
        self.read_answer(path, &bytes)
    }

    /// Every item of the list at `path`, over all its pages.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn get_all(&self, path: &str, query: &Query<'_>) -> Result<Vec<Value>, ClientError> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let paging = [("limit", Some(MAX_PAGE_LIMIT.to_string())), ("cursor", cursor)];
            let page: Page<Value> = self.get(path, &[query, &paging].concat()).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// Uploads a blob.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn put_blob(&self, blob: BlobId, content: Vec<u8>) -> Result<(), ClientError> {
        let url = self.url_of(&format!("/v1/blobs/{blob}"), &[]);
        let request = self.http.request(Method::PUT, url.clone()).timeout(UPLOAD_TIMEOUT);
        let request = request.header(CONTENT_TYPE, "application/octet-stream").body(content);
        self.send(request, &url).await.map(|_| ())
    }

    /// Posts a release to `path`: to be adopted, or to be planned.
    ///
    /// # Errors
    /// When it is refused, with the rule it breaks or the blobs that are missing.
    pub async fn post_release<T: DeserializeOwned>(
        &self,
        path: &str,
        release: &PublishRequest,
    ) -> Result<T, ClientError> {
        let url = self.url_of(path, &[]);
        let request = self.http.request(Method::POST, url.clone()).timeout(RELEASE_TIMEOUT);
        let bytes = self.send(request.json(release), &url).await?;
        self.read_answer(path, &bytes)
    }

    /// Posts the next version of the trust file.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn post_trust(&self, offered: &SignedTrust) -> Result<TrustPublished, ClientError> {
        let path = "/v1/trust";
        let url = self.url_of(path, &[]);
        let request = self.http.request(Method::POST, url.clone()).timeout(RELEASE_TIMEOUT);
        let bytes = self.send(request.json(offered), &url).await?;
        self.read_answer(path, &bytes)
    }

    /// The version of the trust file that the control plane goes by.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn trust_version(&self) -> Result<Option<u64>, ClientError> {
        let status: Status = self.get("/v1/status", &[]).await?;
        Ok(status.trust_version)
    }

    /// Asks for a change with `body`, and returns the exact bytes of the new document. With `DELETE` the
    /// reason goes into the query as well: some servers in between drop such bodies.
    ///
    /// # Errors
    /// When it is refused, or there is no answer.
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Bytes, ClientError> {
        let reason = body["reason"].as_str().filter(|_| method == Method::DELETE);
        let url = self.url_of(path, &[("reason", reason.map(str::to_owned))]);
        let request = self.http.request(method, url.clone()).timeout(REQUEST_TIMEOUT);
        self.send(request.json(body), &url).await
    }

    /// Opens `GET /v1/stream`, from the row after `after` on.
    ///
    /// # Errors
    /// When there is no answer, or not a good one.
    pub async fn stream(&self, after: u64, query: &Query<'_>) -> Result<EventStream, ClientError> {
        let url = self.url_of("/v1/stream", query);
        let request = self.http.request(Method::GET, url.clone());
        let request = request.header("last-event-id", after.to_string());
        Ok(EventStream::new(self.answered(request, &url).await?))
    }

    fn url_of(&self, path: &str, query: &Query<'_>) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(None);
        for (name, value) in query {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        url
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Bytes, ClientError> {
        let body = self.answered(request, url).await?.bytes().await;
        body.map_err(|error| ClientError::transport(url.as_str(), &error))
    }

    /// The answer, when it is a good one, its body still to be read.
    async fn answered(
        &self,
        request: RequestBuilder,
        url: &Url,
    ) -> Result<reqwest::Response, ClientError> {
        let failed = |error: reqwest::Error| ClientError::transport(url.as_str(), &error);
        let answer = request.header("wavegate-protocol", "1").send().await.map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(failed)?;
        Err(ClientError::refusal(url.as_str(), status, &body))
    }

    fn read_answer<T: DeserializeOwned>(&self, path: &str, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|error| ClientError::Answer {
            url: self.url_of(path, &[]).to_string(),
            reason: error.to_string(),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|error| ClientError::Config {
        message: format!("{}: {error}", path.display()),
        hint: None,
    })
}

/// A key that others may read is not used.
fn read_key(path: &Path) -> Result<Vec<u8>, ClientError> {
    read_private(path)
        .map(String::into_bytes)
        .map_err(|error| ClientError::Config { hint: error.hint(), message: error.to_string() })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
