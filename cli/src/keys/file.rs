//! Files that nobody else may read: the mode is there before the first byte, and asked for before a key is
//! used.
//!
//! Not here: what is in them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use wavegate_proto::key_file::{ExposedKey, require_private};

/// Why a file was not written or read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}", path = path.display())]
pub struct FileAccessError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

impl FileAccessError {
    /// Whether it is a private key that others may read.
    #[must_use]
    pub fn is_exposed_key(&self) -> bool {
        self.error.get_ref().is_some_and(|inner| inner.is::<ExposedKey>())
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.is_exposed_key().then(|| format!("chmod 600 {}", self.path.display()))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileAccessError {
    let path = path.to_owned();
    |error| FileAccessError { path, error }
}

/// Writes a new file with mode 0600.
///
/// # Errors
/// When there is one already, or the disk says no.
pub fn write_private(path: &Path, content: &str) -> Result<(), FileAccessError> {
    create(path, 0o600, content)
}

/// Writes a new file with mode 0644.
///
/// # Errors
/// When there is one already, or the disk says no.
pub fn write_public(path: &Path, content: &str) -> Result<(), FileAccessError> {
    create(path, 0o644, content)
}

fn create(path: &Path, mode: u32, content: &str) -> Result<(), FileAccessError> {
    let mut options = OpenOptions::new();
    let mut file: File =
        options.write(true).create_new(true).mode(mode).open(path).map_err(at(path))?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(at(path))
}

/// Reads a private key. The file that is open is asked who may read it, not the name.
///
/// # Errors
/// When it cannot be read, is no UTF-8, or others than its owner may read it: then with an
/// [`ExposedKey`] inside.
pub fn read_private(path: &Path) -> Result<String, FileAccessError> {
    let read = || {
        let mut file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        require_private(mode).map_err(|e| io::Error::new(io::ErrorKind::PermissionDenied, e))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(at(path))
}

/// Reads a file as text.
///
/// # Errors
/// When it cannot be read or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileAccessError> {
    std::fs::read_to_string(path).map_err(at(path))
}
