//! A release as a folder. It is written beside its place and renamed into it, whole or not at all.
//!
//! Not here: what the files say, and the names of the files
//! (`wavegate_proto::artifact::release_dir`).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use wavegate_proto::artifact::release::{ReleaseFiles, RolloutFiles};
use wavegate_proto::artifact::release_dir as names;
use wavegate_proto::ids::{BlobId, RolloutId};
use wavegate_proto::signing::{SignatureFile, SigningError};

use super::BuiltRelease;
use crate::keys::file::{self, FileAccessError};

/// Why a release folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The disk said no.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// There is something where the release would go.
    #[error("{path} exists and is not empty", path = .0.display())]
    NotEmpty(PathBuf),
    /// A file that is not what its name says.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl DirError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path: path.clone(), error }
    }
}

/// Writes a release into `out`, which must not exist or be empty.
///
/// # Errors
/// When `out` has something in it, or the disk says no; then nothing is left behind.
pub fn write_dir(built: &BuiltRelease, out: &Path) -> Result<(), DirError> {
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        return Err(DirError::NotEmpty(out.to_owned()));
    }
    let parent = match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(DirError::io(parent))?;
    let staged = tempfile::Builder::new()
        .prefix(".wavegate-release-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(DirError::io(parent))?;
    for folder in [names::ROLLOUTS, names::CLOSURES, names::ASSETS] {
        let folder = staged.path().join(folder);
        fs::create_dir(&folder).map_err(DirError::io(&folder))?;
    }
    put(staged.path(), names::FLEET, &built.fleet)?;
    for (id, rollout) in &built.rollouts {
        put(staged.path(), &names::header(id), &rollout.header)?;
        put(staged.path(), &names::hosts(id), &rollout.hosts)?;
    }
    for (blob, bytes) in &built.closures {
        put(staged.path(), &names::closure(*blob), bytes)?;
    }
    for (blob, bytes) in &built.assets {
        put(staged.path(), &names::asset(*blob), bytes)?;
    }
    for folder in [names::ROLLOUTS, names::CLOSURES, names::ASSETS, ""] {
        sync_folder(&staged.path().join(folder))?;
    }
    fs::rename(staged.path(), out).map_err(DirError::io(out))?;
    // Its place is taken by the release now; there is nothing left to remove.
    let _renamed = staged.keep();
    sync_folder(parent)
}

fn put(root: &Path, name: &str, bytes: &[u8]) -> Result<(), DirError> {
    let path = root.join(name);
    let mut file = File::create_new(&path).map_err(DirError::io(&path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(DirError::io(&path))
}

fn sync_folder(path: &Path) -> Result<(), DirError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(DirError::io(path))
}

/// Replaces one file of a folder, whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DirError> {
    file::replace(path, bytes)
        .map_err(|FileAccessError { path, error }| DirError::Io { path, error })
}

/// Reads the documents of the release in `path`. A missing `.sig` is one without signatures.
///
/// # Errors
/// When a file is missing or its name is not one of a release.
pub fn read_dir(path: &Path) -> Result<ReleaseFiles, DirError> {
    let mut rollouts = Vec::new();
    for id in rollout_ids(path)? {
        let header = names::header(&id);
        rollouts.push(RolloutFiles {
            header: read(path, &header)?,
            sig: read_signatures(path, &header)?,
            hosts: read(path, &names::hosts(&id))?,
        });
    }
    Ok(ReleaseFiles {
        fleet: read(path, names::FLEET)?,
        fleet_sig: read_signatures(path, names::FLEET)?,
        rollouts,
    })
}

/// The rollouts whose headers are in the release in `path`, in order.
pub(super) fn rollout_ids(path: &Path) -> Result<Vec<RolloutId>, DirError> {
    let folder = path.join(names::ROLLOUTS);
    let mut ids = Vec::new();
    for entry in fs::read_dir(&folder).map_err(DirError::io(&folder))? {
        let name = entry.map_err(DirError::io(&folder))?.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".json")) else {
            continue;
        };
        ids.push(stem.parse::<RolloutId>().map_err(|error| DirError::Malformed {
            path: folder.join(&name),
            reason: error.to_string(),
        })?);
    }
    ids.sort();
    Ok(ids)
}

pub(super) fn read(root: &Path, name: &str) -> Result<Vec<u8>, DirError> {
    let path = root.join(name);
    fs::read(&path).map_err(DirError::io(&path))
}

pub(super) fn read_signatures(root: &Path, of: &str) -> Result<SignatureFile, DirError> {
    let path = root.join(names::signature_of(of));
    match fs::read(&path) {
        Ok(bytes) => SignatureFile::parse(&bytes)
            .map_err(|error: SigningError| DirError::Malformed { path, reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SignatureFile::new(Vec::new())),
        Err(error) => Err(DirError::Io { path, error }),
    }
}

/// The bytes of a closure document or an asset of the release in `path`, unchecked; `None` when it
/// is not there.
///
/// # Errors
/// When the disk says no.
pub fn read_blob(path: &Path, blob: BlobId) -> Result<Option<Vec<u8>>, DirError> {
    for name in [names::closure(blob), names::asset(blob)] {
        match fs::read(path.join(&name)) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DirError::Io { path: path.join(name), error }),
        }
    }
    Ok(None)
}
