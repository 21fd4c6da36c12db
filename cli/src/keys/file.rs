//! Files that nobody else may read: the mode is there before the first byte, and asked for before a key is
//! used.
//!
//! Not here: what is in them.

use std::fs::{self, File, OpenOptions};
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

/// Replaces a file, whole or not at all. It keeps its mode; a new one has 0644.
///
/// # Errors
/// When the disk says no; then what was there is there.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileAccessError> {
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found.map_err(at(path))?,
    };
    let folder = target.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let mode = fs::metadata(&target).map_or(0o644, |there| there.permissions().mode() & 0o7777);
    let mut file = tempfile::Builder::new().tempfile_in(folder).map_err(at(folder))?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(at(path))?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(at(path))?;
    file.persist(&target).map_err(|error| at(path)(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
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
    fs::read_to_string(path).map_err(at(path))
}
