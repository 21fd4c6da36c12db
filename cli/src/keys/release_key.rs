//! Release keys: Ed25519, PKCS#8 PEM, mode 0600.
//!
//! Not here: signing a folder (see [`crate::release::sign`]).

use std::path::Path;

use wavegate_proto::signing::{PrivateKey, SigningError};

use super::file::{self, FileAccessError};

/// Why a key could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be written or read.
    #[error(transparent)]
    File(#[from] FileAccessError),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The file holds something else.
    #[error("{path}: {error}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: SigningError,
    },
}

/// Makes a key from the system's randomness.
///
/// # Errors
/// When there is none.
pub fn generate() -> Result<PrivateKey, KeyError> {
    let mut seed = [0; 32];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut seed).map_err(|_| KeyError::Random)?;
    Ok(PrivateKey::from_seed(seed))
}

/// Writes `key` to a new file that only its owner may read.
///
/// # Errors
/// When there is a file already, or the disk says no.
pub fn write(key: &PrivateKey, path: &Path) -> Result<(), KeyError> {
    Ok(file::write_private(path, &key.to_pkcs8_pem())?)
}

/// Reads a key.
///
/// # Errors
/// When the file cannot be read or holds no such key.
pub fn read(path: &Path) -> Result<PrivateKey, KeyError> {
    let pem = file::read_private(path)?;
    PrivateKey::from_pkcs8_pem(&pem)
        .map_err(|error| KeyError::Content { path: path.display().to_string(), error })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_private_from_the_start_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.key");
        let key = generate().unwrap();
        write(&key, &path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().key_id(), key.key_id());
        assert!(write(&generate().unwrap(), &path).is_err());
        assert_eq!(read(&path).unwrap().key_id(), key.key_id());
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.key");
        write(&generate().unwrap(), &path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let failure = crate::exit::Failure::from(read(&path).unwrap_err());
        assert_eq!(failure.reason, crate::exit::ExitReason::Usage);
        assert!(failure.message.contains("its mode is 0640"), "{failure}");
        assert_eq!(failure.hint, Some(format!("chmod 600 {}", path.display())));
    }

    #[test]
    fn two_keys_differ() {
        assert_ne!(generate().unwrap().key_id(), generate().unwrap().key_id());
    }
}
