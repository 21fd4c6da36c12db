//! Where a release's files come from: a folder, or a web server. Everything read is bounded.
//!
//! Not here: whether to believe them (see [`super::adopt`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio_util::io::ReaderStream;
use wavegate_proto::artifact::fleet::{FleetDocument, MAX_FLEET_BYTES};
use wavegate_proto::artifact::header::MAX_HEADER_BYTES;
use wavegate_proto::artifact::release::{ReleaseFiles, RolloutFiles};
use wavegate_proto::artifact::release_dir;
use wavegate_proto::ids::RolloutId;
use wavegate_proto::json::parse_strict;
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::trust::TrustFile;

use crate::server::tls::trust_certificates;

/// The most bytes of a `.sig` file.
const MAX_SIGNATURE_BYTES: usize = 256 * 1024;

/// The longest a web server may take before each next piece.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a release's files come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A web server, below this URL.
    Web {
        /// Without a slash at its end.
        base: String,
        /// Speaks to it.
        client: reqwest::Client,
    },
}

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("{0} is not there")]
    Absent(String),
    /// Larger than such a file may be.
    #[error("{path} is above {max} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The most bytes.
        max: usize,
    },
    /// It cannot be read.
    #[error("read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The source itself is none.
    #[error("{0:?} is neither a folder nor an https:// URL")]
    NoSource(String),
}

type Content = BoxStream<'static, std::io::Result<Bytes>>;

impl Source {
    /// A source as it is written on the command line.
    ///
    /// # Errors
    /// When it is a URL of another scheme, or TLS cannot be set up.
    pub fn new(text: &str, trust: &TrustFile) -> Result<Self, SourceError> {
        if text.starts_with("https://") {
            let client = client(trust)
                .map_err(|reason| SourceError::Unreadable { path: text.to_owned(), reason })?;
            return Ok(Self::Web { base: text.trim_end_matches('/').to_owned(), client });
        }
        if text.contains("://") {
            return Err(SourceError::NoSource(text.to_owned()));
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }

    /// As it is written in logs.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Web { base, .. } => base.clone(),
        }
    }

    /// `fleet.json`.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn fleet(&self) -> Result<Vec<u8>, SourceError> {
        self.read(release_dir::FLEET, MAX_FLEET_BYTES).await
    }

    /// The files that belong to the fleet document `fleet`.
    ///
    /// # Errors
    /// When one cannot be had, or `fleet` does not say which there are.
    pub async fn files(&self, fleet: Vec<u8>) -> Result<ReleaseFiles, SourceError> {
        let fleet_sig = self.signatures(release_dir::FLEET).await?;
        let mut rollouts = Vec::new();
        for rollout in rollouts_of(&fleet)? {
            let path = release_dir::header(&rollout);
            let header = self.read(&path, MAX_HEADER_BYTES).await?;
            let sig = self.signatures(&path).await?;
            let hosts = self.read(&release_dir::hosts(&rollout), MAX_FLEET_BYTES).await?;
            rollouts.push(RolloutFiles { header, sig, hosts });
        }
        Ok(ReleaseFiles { fleet, fleet_sig, rollouts })
    }

    pub(super) async fn signatures(&self, path: &str) -> Result<SignatureFile, SourceError> {
        let path = release_dir::signature_of(path);
        let bytes = self.read(&path, MAX_SIGNATURE_BYTES).await?;
        SignatureFile::parse(&bytes).map_err(|error| unreadable(&path, error))
    }

    pub(super) async fn read(&self, path: &str, max: usize) -> Result<Vec<u8>, SourceError> {
        let mut content = self.stream(path).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(|error| unreadable(path, error))?;
            if bytes.len() + chunk.len() > max {
                return Err(SourceError::TooLarge { path: path.to_owned(), max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// A file of the release folder; `path` is made of parsed names only (S8).
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn stream(&self, path: &str) -> Result<Content, SourceError> {
        match self {
            Self::Folder(folder) => from_folder(folder, path).await,
            Self::Web { base, client } => from_web(client, &format!("{base}/{path}")).await,
        }
    }
}

async fn from_folder(folder: &Path, path: &str) -> Result<Content, SourceError> {
    match tokio::fs::File::open(folder.join(path)).await {
        Ok(file) => Ok(ReaderStream::new(file).boxed()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(SourceError::Absent(folder.join(path).display().to_string()))
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

async fn from_web(client: &reqwest::Client, url: &str) -> Result<Content, SourceError> {
    let response = client.get(url).send().await.map_err(|error| unreadable(url, error))?;
    if response.status() == reqwest::StatusCode::NOT_FOUND {
        return Err(SourceError::Absent(url.to_owned()));
    }
    let response = response.error_for_status().map_err(|error| unreadable(url, error))?;
    Ok(response.bytes_stream().map_err(std::io::Error::other).boxed())
}

fn client(trust: &TrustFile) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(READ_TIMEOUT);
    // Beside the system's roots: a server of the fleet itself may have a certificate of its own.
    for root in trust_certificates(&trust.ca_pem).map_err(|error| error.to_string())? {
        let root = reqwest::Certificate::from_der(&root).map_err(|error| error.to_string())?;
        builder = builder.add_root_certificate(root);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The rollouts that a fleet document, not verified yet, says there are: of each channel that has
/// hosts. Their names are parsed, so they make no path but their own.
fn rollouts_of(fleet: &[u8]) -> Result<BTreeSet<RolloutId>, SourceError> {
    let document: FleetDocument = parse_strict(fleet)
        .map_err(|error| unreadable(release_dir::FLEET, error))
        .and_then(|value| {
            serde_json::from_value(value).map_err(|error| unreadable(release_dir::FLEET, error))
        })?;
    let used: BTreeSet<_> = document.hosts.values().map(|host| &host.channel).collect();
    let channels = document.channels.iter().filter(|(name, _)| used.contains(name));
    Ok(channels
        .map(|(name, channel)| RolloutId {
            channel: name.clone(),
            reference: channel.reference.clone(),
        })
        .collect())
}

#[allow(clippy::needless_pass_by_value)]
fn unreadable(path: &str, error: impl std::fmt::Display) -> SourceError {
    SourceError::Unreadable { path: path.to_owned(), reason: error.to_string() }
}
