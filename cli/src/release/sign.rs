//! Signing the documents of a release folder.
//!
//! Not here: keys (see [`crate::keys`]).

use std::path::Path;

use wavegate_proto::artifact::release_dir as names;
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::signing::{ArtifactType, PrivateKey};

use super::dir::{self, DirError};

/// Adds the signature of `key` to the fleet document and every header of the release in `path`, in
/// place of earlier ones of the same key. Returns how many documents were signed.
///
/// # Errors
/// When the folder is no release or cannot be written.
pub fn sign_dir(path: &Path, key: &PrivateKey) -> Result<usize, DirError> {
    let headers = dir::rollout_ids(path)?;
    let headers = headers.iter().map(|id| (ArtifactType::Rollout, names::header(id)));
    // The fleet document last: a folder with its signature has all the others.
    let documents: Vec<_> =
        headers.chain([(ArtifactType::Fleet, names::FLEET.to_owned())]).collect();
    for (kind, name) in &documents {
        sign_one(path, *kind, name, key)?;
    }
    Ok(documents.len())
}

fn sign_one(root: &Path, kind: ArtifactType, name: &str, key: &PrivateKey) -> Result<(), DirError> {
    let malformed = |reason: String| DirError::Malformed { path: root.join(name), reason };
    let canonical = canonicalize(&dir::read(root, name)?).map_err(|e| malformed(e.to_string()))?;
    let mut signatures = dir::read_signatures(root, name)?;
    signatures.put(key.sign(kind, &canonical));
    let bytes = serde_json::to_vec(&signatures).map_err(|e| malformed(e.to_string()))?;
    dir::replace(&root.join(names::signature_of(name)), &bytes)
}
