//! Talking to the control plane: mutual TLS, one method per route, every answer bounded.
//!
//! An answer is never trusted: bodies have limits, redirects are not followed, what is signed is
//! verified elsewhere, blobs are checked against their hash.
//!
//! Not here: when to call and what to do with an answer (see [`crate::daemon`]).

mod backoff;
mod body;
mod calls;
mod error;
mod pace;
mod tls;

pub use backoff::Backoff;
pub use error::ClientError;
pub use pace::Pace;
pub use tls::{Credentials, TlsError, install_crypto_provider};

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use wavegate_proto::trust::TrustFile;
use wavegate_proto::wire::agent::PROTOCOL_VERSION;

use crate::resources::reach::{Reach, Reaching};

/// The request header that carries the protocol version.
pub const PROTOCOL_HEADER: &str = "wavegate-protocol";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that is gone without a word is noticed after about half a minute.
/// How long an answer may take that only shows that there is one.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// A control plane, as seen by one host. Cheap to clone; clones share their connections, and the
/// certificate of these.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    connections: Arc<RwLock<Connections>>,
    base: String,
}

#[derive(Debug)]
struct Connections {
    http: reqwest::Client,
    config: rustls::ClientConfig,
}

impl ControlPlane {
    /// A client for the control plane at `url`, which must be `https`.
    ///
    /// # Errors
    /// When `url` or the credentials cannot be used.
    pub fn new(url: &str, credentials: &Credentials) -> Result<Self, ClientError> {
        Self::with_config(url, credentials.client_config()?)
    }

    /// A client without a certificate, as a host has it that wants to join.
    ///
    /// # Errors
    /// When `url` or the roots cannot be used.
    pub fn anonymous(url: &str, ca: Option<&Path>, trust: &TrustFile) -> Result<Self, ClientError> {
        Self::with_config(url, tls::anonymous_config(ca, trust)?)
    }

    fn with_config(url: &str, config: rustls::ClientConfig) -> Result<Self, ClientError> {
        let parsed = reqwest::Url::parse(url)
            .map_err(|e| ClientError::BadUrl(format!("{url:?} is not a URL: {e}")))?;
        if parsed.scheme() != "https" {
            return Err(ClientError::BadUrl(format!("{url:?} must begin with https://")));
        }
        let base = parsed.as_str().trim_end_matches('/').to_owned();
        let connections = Connections { http: http(config.clone())?, config };
        Ok(Self { connections: Arc::new(RwLock::new(connections)), base })
    }

    /// From the next request on, connections are made with these credentials (A9). Requests that are under
    /// way end on the connections they have.
    ///
    /// # Errors
    /// When they cannot be used; then nothing has changed.
    pub fn use_credentials(&self, credentials: &Credentials) -> Result<(), ClientError> {
        let config = credentials.client_config()?;
        let next = Connections { http: http(config.clone())?, config };
        *self.connections.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// The connections with the present credentials.
    fn http(&self) -> reqwest::Client {
        self.connections.read().unwrap_or_else(PoisonError::into_inner).http.clone()
    }

    /// The same control plane, over connections that are made anew.
    fn reconnected(&self) -> Result<Self, ClientError> {
        let present = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        let config = present.config.clone();
        let connections = Connections { http: http(config.clone())?, config };
        Ok(Self { connections: Arc::new(RwLock::new(connections)), base: self.base.clone() })
    }
}

/// Whoever answers over TLS with the fleet's authority is the control plane, whatever it answers.
impl Reach for ControlPlane {
    fn control_plane(&self) -> Reaching<'_> {
        Box::pin(async move {
            let Ok(anew) = self.reconnected() else { return false };
            match tokio::time::timeout(REACH_TIMEOUT, anew.trust_after(0)).await {
                Ok(Ok(_)) => true,
                Ok(Err(error)) => !matches!(error, ClientError::Unreachable(_)),
                Err(_elapsed) => false,
            }
        })
    }
}

fn http(config: rustls::ClientConfig) -> Result<reqwest::Client, ClientError> {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert(PROTOCOL_HEADER, PROTOCOL_VERSION.into());
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .default_headers(headers)
        .user_agent(concat!("wavegate-agent/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE_INTERVAL)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .build()
        .map_err(|e| ClientError::BadUrl(error::chain(&e)))
}
