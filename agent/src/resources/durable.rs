//! Small JSON files of the state folder: written whole and durable, or not at all.
//!
//! Not here: what they say.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::steps::{Step, Steps};

/// What a small file held.
#[derive(Debug)]
pub enum Stored<T> {
    /// There is none.
    Absent,
    /// This.
    Found(T),
    /// Something that cannot be read.
    Unreadable(String),
}

/// Writes `value` to `path`: temporary file, fsync, rename, fsync of the folder.
///
/// # Errors
/// Those of the file system; the old content is then still there.
pub fn write_json<T: Serialize>(steps: &dyn Steps, path: &Path, value: &T) -> io::Result<()> {
    steps.before(Step::WriteState)?;
    let temporary = path.with_extension("tmp");
    let written = write_and_sync(&temporary, &serde_json::to_vec_pretty(value)?);
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    steps.before(Step::WriteState)?;
    fs::rename(&temporary, path)?;
    sync_folder_of(path)
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes `path`, durably; nothing happens when it is not there.
///
/// # Errors
/// Those of the file system.
pub fn remove(steps: &dyn Steps, path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    steps.before(Step::RemoveState)?;
    fs::remove_file(path)?;
    sync_folder_of(path)
}

/// Reads what [`write_json`] wrote.
///
/// # Errors
/// Those of the file system. Content that cannot be understood is no error: see [`Stored`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Stored<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(match serde_json::from_slice(&bytes) {
            Ok(value) => Stored::Found(value),
            Err(error) => Stored::Unreadable(error.to_string()),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stored::Absent),
        Err(error) => Err(error),
    }
}

/// Makes the entry of `path` in its folder durable.
///
/// # Errors
/// Those of the file system.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
