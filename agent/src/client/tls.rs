//! The client side of mutual TLS: TLS 1.3 only, one trusted root, our own certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wavegate_proto::trust::TrustFile;

use crate::enroll::key::{self, KeyError};

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
    /// What stands for a file cannot be read as PEM.
    #[error("read a certificate: {0}")]
    Pem(String),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate, key or root is not accepted.
    #[error("set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Our certificate and key, and the roots the control plane must chain to.
#[derive(Debug)]
pub struct Credentials {
    roots: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clock: FloorClock,
}

impl Credentials {
    /// Reads PEM files: the roots (those of the trust file when there is no file for them), our certificate
    /// chain (leaf first), our private key, which may also be the SSH server's.
    ///
    /// # Errors
    /// When a file cannot be read or holds nothing of its kind.
    pub fn read(
        ca: Option<&Path>,
        trust: &TrustFile,
        certificate: &Path,
        key: &Path,
    ) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        Ok(Self {
            roots: roots(ca, trust)?,
            chain,
            key: private_key(&key::read_pem(key)?)?,
            clock: FloorClock::default(),
        })
    }

    /// Our own certificate, DER, of a chain that goes with our key.
    ///
    /// # Errors
    /// When it does not, or one of them cannot be read.
    pub fn own(chain_pem: &str, key_pem: &str) -> Result<CertificateDer<'static>, TlsError> {
        let chain = parsed(chain_pem.as_bytes())?;
        let own = Self {
            roots: Vec::new(),
            chain,
            key: private_key(key_pem)?,
            clock: FloorClock::default(),
        };
        own.client_config()?;
        Ok(own.leaf().clone())
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
        let builder = builder(&self.roots)?;
        let config = builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        let mut config = with_alpn(config);
        config.time_provider = Arc::new(self.clock.clone());
        Ok(config)
    }
}

/// For who has no certificate yet.
pub(super) fn anonymous_config(
    ca: Option<&Path>,
    trust: &TrustFile,
) -> Result<rustls::ClientConfig, TlsError> {
    Ok(with_alpn(builder(&roots(ca, trust)?)?.with_no_client_auth()))
}

type Builder = rustls::ConfigBuilder<rustls::ClientConfig, WantsClientCert>;

fn builder(roots: &[CertificateDer<'static>]) -> Result<Builder, TlsError> {
    let mut store = rustls::RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_root_certificates(store))
}

fn with_alpn(mut config: rustls::ClientConfig) -> rustls::ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn roots(ca: Option<&Path>, trust: &TrustFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    match ca {
        Some(path) => certificates(path),
        None => parsed(trust.ca_pem.concat().as_bytes()),
    }
}

fn parsed(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Pem(e.to_string()))?;
    if found.is_empty() {
        return Err(TlsError::Pem("no certificate in it".to_owned()));
    }
    Ok(found)
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| TlsError::Pem(e.to_string()))
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
