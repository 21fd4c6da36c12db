//! Closures and assets by their hash, in the state folder, below a size limit.
//!
//! `closures/sha256-<hex>.json` and `assets/sha256-<hex>`. Something enters only after its hash was
//! found right; a closure is checked again each time it is read.
//! Not here: fetching (the client), which closures are pinned (the daemon says).

mod error;
mod room;
mod writer;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use wavegate_proto::artifact::bundle::{Bundle, MAX_CLOSURE_BYTES};
use wavegate_proto::ids::BlobId;

pub use error::CacheError;
pub use writer::CacheWriter;

/// The most bytes of an asset.
pub const MAX_ASSET_BYTES: u64 = 1024 * 1024 * 1024;

/// What something in the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// The document of a closure.
    Closure(BlobId),
    /// An asset of a closure.
    Asset(BlobId),
}

impl Item {
    /// Its hash.
    #[must_use]
    pub fn id(self) -> BlobId {
        match self {
            Self::Closure(id) | Self::Asset(id) => id,
        }
    }

    /// The most bytes it may have.
    #[must_use]
    pub fn max_bytes(self) -> u64 {
        match self {
            Self::Closure(_) => u64::try_from(MAX_CLOSURE_BYTES).unwrap_or(u64::MAX),
            Self::Asset(_) => MAX_ASSET_BYTES,
        }
    }

    fn relative_path(self) -> PathBuf {
        match self {
            Self::Closure(id) => Path::new("closures").join(format!("{}.json", id.file_name())),
            Self::Asset(id) => Path::new("assets").join(id.file_name()),
        }
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    max_bytes: u64,
    /// Never evicted.
    pinned: Mutex<BTreeSet<BlobId>>,
}

impl Cache {
    /// Opens the cache of a state folder, of at most `max_bytes`. `pinned` is what must never be
    /// evicted, so it has to be known from the start.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(
        state_dir: &Path,
        max_bytes: u64,
        pinned: BTreeSet<BlobId>,
    ) -> Result<Self, CacheError> {
        let cache = Self { folder: state_dir.to_owned(), max_bytes, pinned: Mutex::new(pinned) };
        for kind in ["closures", "assets"] {
            let folder = cache.folder.join(kind);
            fs::create_dir_all(&folder).map_err(CacheError::io(&folder))?;
        }
        cache.clear_temporaries()?;
        Ok(cache)
    }

    /// Pins exactly these closures and the assets they name: the prior, the current and the next.
    /// A closure that is not in the cache is pinned by its own id alone.
    ///
    /// # Errors
    /// When a closure's document cannot be read; the pins then stay as they were.
    pub fn pin(&self, documents: impl IntoIterator<Item = BlobId>) -> Result<(), CacheError> {
        let mut pinned = BTreeSet::new();
        for id in documents {
            pinned.insert(id);
            if let Some(bundle) = self.closure(&id)? {
                pinned.extend(bundle.assets());
            }
        }
        *self.pinned.lock().unwrap_or_else(PoisonError::into_inner) = pinned;
        Ok(())
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(&self, item: Item) -> bool {
        self.path(item).is_file()
    }

    /// Starts to take something in.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn writer(&self, item: Item) -> Result<CacheWriter<'_>, CacheError> {
        CacheWriter::new(self, item)
    }

    /// Takes in something that is in memory.
    ///
    /// # Errors
    /// When it is too large, has another hash, or there is no room.
    pub fn put(&self, item: Item, bytes: &[u8]) -> Result<(), CacheError> {
        let mut writer = self.writer(item)?;
        writer.write(bytes)?;
        writer.commit()
    }

    /// The document of a closure, checked against its hash. `None`: not there.
    ///
    /// # Errors
    /// When it is damaged, in which case it is removed so that it can be fetched again, or is no
    /// bundle.
    pub fn closure(&self, id: &BlobId) -> Result<Option<Bundle>, CacheError> {
        let path = self.path(Item::Closure(*id));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CacheError::io(&path)(error)),
        };
        let found = BlobId::of(&bytes);
        if found != *id {
            fs::remove_file(&path).map_err(CacheError::io(&path))?;
            return Err(CacheError::HashMismatch { expected: *id, found });
        }
        touch(&path);
        let bundle = serde_json::from_slice(&bytes);
        bundle.map(Some).map_err(|error| CacheError::NoBundle { id: *id, why: error.to_string() })
    }

    /// Opens an asset for reading. `None`: not there. Whoever copies it checks the hash on the way.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open_asset(&self, id: &BlobId) -> io::Result<Option<File>> {
        let path = self.path(Item::Asset(*id));
        match File::open(&path) {
            Ok(file) => {
                touch(&path);
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes an asset that was found damaged, so that it can be fetched again.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn discard(&self, item: Item) -> Result<(), CacheError> {
        let path = self.path(item);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CacheError::io(&path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn path(&self, item: Item) -> PathBuf {
        self.folder.join(item.relative_path())
    }
}

/// Marks as used, for eviction by age. Failing at that costs only a worse choice later.
fn touch(path: &Path) {
    if let Ok(file) = File::options().append(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}
