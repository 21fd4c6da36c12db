//! Publishing a release folder, or having it planned: ask, upload what is missing, ask again.
//!
//! Not here: whether it is adopted, and what it would do (the control plane).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wavegate_proto::artifact::release::ReleaseFiles;
use wavegate_proto::artifact::release_dir;
use wavegate_proto::ids::BlobId;
use wavegate_proto::wire::publish::{PublishAnswer, PublishRequest, PublishRollout};

use super::dir::{self, DirError};
use crate::client::{ApiClient, ClientError};

/// Above this, `fleet.json` is uploaded as a blob.
const MAX_INLINE_FLEET_BYTES: usize = 10_000_000;

/// How often the control plane may name further blobs: tables, then closures, then their assets.
const MAX_ROUNDS: usize = 5;

/// Why a release was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The folder cannot be read.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The control plane could not be reached or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The control plane asks for a blob that is not in the folder.
    #[error("the control plane asks for blob {0}, which is not in the folder")]
    NotHere(BlobId),
    /// The control plane goes on asking for blobs it was given.
    #[error("the control plane goes on asking for blobs that were uploaded")]
    NoEnd,
}

/// The answer to a release that was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted<T> {
    /// What the control plane said.
    pub answer: T,
    /// How many blobs had to be uploaded.
    pub uploaded: usize,
}

/// A published release.
pub type Published = Posted<PublishAnswer>;

/// Publishes the release in `path`.
///
/// # Errors
/// When it is not adopted; the control plane then goes on with what it has.
pub async fn publish(path: &Path, client: &ApiClient) -> Result<Published, PublishError> {
    post(path, client, "/v1/releases").await
}

/// Asks what publishing the release in `path` would do: a
/// [`PlanDocument`](wavegate_proto::wire::plan::PlanDocument), as the control plane wrote it.
///
/// # Errors
/// When the release would be refused.
pub async fn plan(path: &Path, client: &ApiClient) -> Result<Posted<Value>, PublishError> {
    post(path, client, "/v1/releases/plan").await
}

/// The versions of the trust file that the release in `path` brings along, rising.
///
/// # Errors
/// When the folder cannot be read.
pub fn trust_versions(path: &Path) -> Result<Vec<(u64, PathBuf)>, DirError> {
    let folder = path.join(release_dir::TRUST);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok();
    let found = entries.map_err(DirError::io(&folder))?.into_iter().map(|entry| entry.path());
    let mut versions: Vec<(u64, PathBuf)> =
        found.filter_map(|path| Some((number(&path)?, path))).collect();
    versions.sort();
    Ok(versions)
}

async fn post<T: DeserializeOwned>(
    path: &Path,
    client: &ApiClient,
    route: &str,
) -> Result<Posted<T>, PublishError> {
    let files = dir::read_dir(path)?;
    let request = request(&files);
    // Documents that travel as blobs; closures and assets are read when they are asked for.
    let mut documents: BTreeMap<BlobId, Vec<u8>> =
        files.rollouts.into_iter().map(|r| (BlobId::of(&r.hosts), r.hosts)).collect();
    documents.insert(BlobId::of(&files.fleet), files.fleet);
    let mut uploaded = 0;
    for _ in 0..MAX_ROUNDS {
        let missing = match client.post_release(route, &request).await {
            Ok(answer) => return Ok(Posted { answer, uploaded }),
            Err(ClientError::Problem(problem)) => match problem.missing.clone() {
                Some(missing) => missing,
                None => return Err(ClientError::Problem(problem).into()),
            },
            Err(error) => return Err(error.into()),
        };
        for blob in missing {
            let content = match documents.get(&blob) {
                Some(document) => document.clone(),
                None => dir::read_blob(path, blob)?.ok_or(PublishError::NotHere(blob))?,
            };
            client.put_blob(blob, content).await?;
            uploaded += 1;
        }
    }
    Err(PublishError::NoEnd)
}

fn request(files: &ReleaseFiles) -> PublishRequest {
    let inline = files.fleet.len() <= MAX_INLINE_FLEET_BYTES;
    PublishRequest {
        fleet: inline.then(|| STANDARD.encode(&files.fleet)),
        fleet_sha256: (!inline).then(|| BlobId::of(&files.fleet)),
        fleet_sig: files.fleet_sig.clone(),
        rollouts: files
            .rollouts
            .iter()
            .map(|rollout| PublishRollout {
                header: STANDARD.encode(&rollout.header),
                sig: rollout.sig.clone(),
                hosts_sha256: BlobId::of(&rollout.hosts),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
