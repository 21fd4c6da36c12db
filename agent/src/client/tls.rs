//! The client side of mutual TLS: TLS 1.3 only, one trusted root, our own certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::FloorClock;

/// Why credentials cannot be used.
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
    /// The certificate, key or root is not accepted.
    #[error("set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Our certificate and key, and the root the control plane must chain to.
#[derive(Debug)]
pub struct Credentials {
    roots: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clock: FloorClock,
}

impl Credentials {
    /// Reads PEM files: the roots, our certificate chain (leaf first), our private key.
    ///
    /// # Errors
    /// When a file cannot be read or holds nothing of its kind.
    pub fn read(ca: &Path, certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            roots: certificates(ca)?,
            chain: certificates(certificate)?,
            key: PrivateKeyDer::from_pem_file(key).map_err(|e| file_error(key, &e))?,
            clock: FloorClock::default(),
        })
    }

    /// Trusts these authorities as well, PEM.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn trusting(mut self, authorities: &[String]) -> Result<Self, TlsError> {
        for pem in authorities {
            for found in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let path = || PathBuf::from("ca_pem of the trust file");
                let root =
                    found.map_err(|e| TlsError::File { path: path(), reason: e.to_string() })?;
                self.roots.push(root);
            }
        }
        Ok(self)
    }

    /// Certificates are judged by this clock.
    #[must_use]
    pub fn judged_by(self, clock: &FloorClock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// The same from PEM texts.
    ///
    /// # Errors
    /// When one holds nothing of its kind.
    pub fn from_pem(ca: &str, certificate: &str, key: &str) -> Result<Self, TlsError> {
        let all = |pem: &str| -> Result<Vec<_>, _> {
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
        };
        let error = |error| file_error(Path::new("PEM"), &error);
        let (roots, chain) = (all(ca).map_err(error)?, all(certificate).map_err(error)?);
        if chain.is_empty() {
            return Err(error(rustls::pki_types::pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(error)?;
        Ok(Self { roots, chain, key, clock: FloorClock::default() })
    }

    /// Our own certificate, DER.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    pub(super) fn client_config(&self) -> Result<rustls::ClientConfig, TlsError> {
        let mut roots = rustls::RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.time_provider = Arc::new(self.clock.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
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

fn file_error(path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: error.to_string() }
}

/// Makes ring the process's TLS provider, as every binary must before its first connection.
pub fn install_crypto_provider() {
    // A second call, from a program that embeds the agent, finds it installed already.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}
