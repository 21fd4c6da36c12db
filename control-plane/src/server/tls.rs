//! The server side of mutual TLS: TLS 1.3 only. A client certificate is optional, since `/healthz` and
//! `/readyz` need none; a chain that is not ours fails the handshake.
//!
//! Not here: who a certificate names (see [`super::identity`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use wavegate_proto::time::Timestamp;

use super::identity::expires_at;
use crate::clock::Clock;
use crate::issuing::IssuerError;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("read {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The trust file's roots cannot be read.
    #[error("read the trust file's ca_pem: {0}")]
    TrustRoots(String),
    /// The issuing authority cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The certificate, key or roots are not accepted.
    #[error("set up TLS: {0}")]
    Rustls(String),
}

/// The server's certificate and key, and the roots of client certificates.
#[derive(Debug)]
pub struct ServerTls {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    /// Judges chains of clients, as the acceptor does.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// When the server's certificate expires.
    pub expires_at: Timestamp,
}

impl ServerTls {
    /// Reads PEM files: the chain (leaf first), the key, and the client roots, which are those of the
    /// trust file when there is no file for them.
    ///
    /// # Errors
    /// When something cannot be read or used.
    pub fn read(
        chain: &Path,
        key: &Path,
        client_ca: Option<&Path>,
        trust_roots: &[String],
    ) -> Result<Self, TlsError> {
        let roots = match client_ca {
            Some(path) => certificates(path)?,
            None => trust_certificates(trust_roots)?,
        };
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(rustls_error)?;
        }
        let chain_certificates = certificates(chain)?;
        let expires_at = chain_certificates.first().and_then(|leaf| expires_at(leaf));
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| file_error(key, &e))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(rustls_error)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(rustls_error)?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(chain_certificates, key)
            .map_err(rustls_error)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sealed and kept by the hosts: a store of their sessions would have to hold the whole fleet. With each reading
        // of the files the keys are new, so that no session outlives the authorities that were believed.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(rustls_error)?;
        let expires_at = expires_at.ok_or_else(|| TlsError::File {
            path: chain.to_owned(),
            reason: "its first certificate cannot be read".to_owned(),
        })?;
        Ok(Self { config: Arc::new(config), verifier, expires_at })
    }

    /// Judges the chain of a client, leaf first, as a handshake at `now` does.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), TlsError> {
        let Some((leaf, others)) = chain.split_first() else {
            return Err(TlsError::Rustls("no certificate".to_owned()));
        };
        let since_1970 = u64::try_from(now.unix_millis()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(since_1970));
        self.verifier.verify_client_cert(leaf, others, now).map(drop).map_err(rustls_error)
    }

    /// Client certificates are judged by this clock.
    #[must_use]
    pub fn judged_by(self, clock: &Clock) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.time_provider = Arc::new(clock.clone());
        Self { config: Arc::new(config), ..self }
    }
}

/// Makes ring the process's TLS provider, as every binary must before its first connection.
pub fn install_crypto_provider() {
    // A second call, from a program that embeds the control plane, finds it installed already.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| file_error(path, &e))?;
    if found.is_empty() {
        let reason = "no certificate in it".to_owned();
        return Err(TlsError::File { path: path.to_owned(), reason });
    }
    Ok(found)
}

/// The certificates of a trust file's `ca_pem`.
pub(crate) fn trust_certificates(
    roots: &[String],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for pem in roots {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            found.push(certificate.map_err(|e| TlsError::TrustRoots(e.to_string()))?);
        }
    }
    if found.is_empty() {
        return Err(TlsError::TrustRoots("no certificate in it".to_owned()));
    }
    Ok(found)
}

fn file_error(path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: error.to_string() }
}

#[allow(clippy::needless_pass_by_value)]
fn rustls_error(error: impl std::fmt::Display) -> TlsError {
    TlsError::Rustls(error.to_string())
}
