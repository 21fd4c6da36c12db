//! Keeping the cache below its limit: the least recently used goes first, what is pinned never.
//!
//! Sizes are read from disk each time: there are few files, and no second truth to keep in step.
//! Not here: what is pinned.

use std::fs;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::SystemTime;

use super::{Cache, CacheError, Item};

/// The end of the name of a file that is still being written.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

/// The end of the name of what has come of something before its transfer broke off. It may be evicted.
pub(super) const PART_SUFFIX: &str = ".part";

struct Kept {
    path: PathBuf,
    name: String,
    bytes: u64,
    used: SystemTime,
}

impl Cache {
    /// Evicts until `bytes` more fit.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), CacheError> {
        let mut kept = self.kept()?;
        let mut total: u64 = kept.iter().map(|file| file.bytes).sum();
        kept.sort_by(|a, b| (a.used, &a.name).cmp(&(b.used, &b.name)));
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_pinned = |name: &str| {
            let stem = name.strip_suffix(".json").unwrap_or(name);
            pinned.iter().any(|id| id.file_name() == stem)
        };
        for file in kept.iter().filter(|file| !is_pinned(&file.name)) {
            if total.saturating_add(bytes) <= self.max_bytes {
                break;
            }
            fs::remove_file(&file.path).map_err(CacheError::io(&file.path))?;
            total -= file.bytes;
        }
        if total.saturating_add(bytes) > self.max_bytes {
            return Err(CacheError::CacheFull { bytes, max_bytes: self.max_bytes });
        }
        Ok(())
    }

    /// What an earlier process was writing when it ended is a part of an asset, or nothing.
    pub(super) fn clear_temporaries(&self) -> Result<(), CacheError> {
        for file in self.files()? {
            let Some(stem) = file.name.strip_suffix(TEMPORARY_SUFFIX) else { continue };
            let item = stem.rsplit_once('-').map(|(item, _number)| item);
            let cleared = match item.filter(|item| is_asset(item)) {
                Some(item) => {
                    let part = file.path.with_file_name(format!("{item}{PART_SUFFIX}"));
                    fs::rename(&file.path, part)
                }
                None => fs::remove_file(&file.path),
            };
            cleared.map_err(CacheError::io(&file.path))?;
        }
        Ok(())
    }

    pub(super) fn part_path(&self, item: Item) -> PathBuf {
        let mut path = self.path(item).into_os_string();
        path.push(PART_SUFFIX);
        PathBuf::from(path)
    }

    fn kept(&self) -> Result<Vec<Kept>, CacheError> {
        let mut files = self.files()?;
        files.retain(|file| !file.name.ends_with(TEMPORARY_SUFFIX));
        Ok(files)
    }

    fn files(&self) -> Result<Vec<Kept>, CacheError> {
        let mut files = Vec::new();
        for kind in ["closures", "assets"] {
            let folder = self.folder.join(kind);
            let error = CacheError::io(&folder);
            for entry in fs::read_dir(&folder).map_err(&error)? {
                let entry = entry.map_err(&error)?;
                let meta = entry.metadata().map_err(&error)?;
                files.push(Kept {
                    path: entry.path(),
                    name: entry.file_name().to_string_lossy().into_owned(),
                    bytes: meta.len(),
                    used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        Ok(files)
    }
}

/// Closures have a suffix of their own; they come whole.
fn is_asset(name: &str) -> bool {
    !name.contains('.')
}
