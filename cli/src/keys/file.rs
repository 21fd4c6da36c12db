//! Writing files that nobody else may read. The mode is there before the first byte.
//!
//! Not here: what is in them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

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

/// Reads a file as text.
///
/// # Errors
/// When it cannot be read or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileAccessError> {
    std::fs::read_to_string(path).map_err(at(path))
}
