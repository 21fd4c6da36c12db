//! Taking something in: streamed to a temporary file, hashed on the way, in place only when right.
//!
//! What of an asset has come before a transfer broke off can be kept, as `<name>.part`: the next writer goes on
//! behind it. Nothing is believed of it; the hash of the whole decides.
//! Not here: where the bytes come from.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use wavegate_proto::ids::{BlobId, Sha256Hash};

use super::room::TEMPORARY_SUFFIX;
use super::{Cache, CacheError, Item};
use crate::resources::durable::sync_folder_of;

/// How much of a part is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Tells two writers of one process apart.
static WRITERS: AtomicU64 = AtomicU64::new(0);

/// Something on its way into the cache. Dropped before [`CacheWriter::commit`], it leaves nothing.
#[derive(Debug)]
pub struct CacheWriter<'a> {
    cache: &'a Cache,
    item: Item,
    temporary: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl<'a> CacheWriter<'a> {
    pub(super) fn new(cache: &'a Cache, item: Item) -> Result<Self, CacheError> {
        let number = WRITERS.fetch_add(1, Ordering::Relaxed);
        let mut temporary = cache.path(item).into_os_string();
        temporary.push(format!("-{number}{TEMPORARY_SUFFIX}"));
        let temporary = PathBuf::from(temporary);
        let taken_up = take_up(&cache.part_path(item), &temporary);
        let (file, hasher, bytes) = match taken_up.map_err(CacheError::io(&temporary))? {
            Some(part) => part,
            None => {
                let file = File::create(&temporary).map_err(CacheError::io(&temporary))?;
                (file, Sha256::new(), 0)
            }
        };
        Ok(Self { cache, item, temporary, file, hasher, bytes })
    }

    /// How many bytes it has, those of earlier transfers included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.bytes
    }

    /// Forgets what has come so far.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn start_over(&mut self) -> Result<(), CacheError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(CacheError::io(&self.temporary))?;
        self.hasher = Sha256::new();
        self.bytes = 0;
        Ok(())
    }

    /// Keeps what has come of an asset, so that the next writer goes on there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep_part(self) -> Result<(), CacheError> {
        if self.bytes == 0 || matches!(self.item, Item::Closure(_)) {
            return Ok(());
        }
        let part = self.cache.part_path(self.item);
        fs::rename(&self.temporary, &part).map_err(CacheError::io(&part))
    }

    /// Takes the next bytes. It blocks on the file system only as long as a write to its cache takes.
    ///
    /// # Errors
    /// When it becomes too large or the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CacheError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let max_bytes = self.item.max_bytes();
        if self.bytes > max_bytes {
            return Err(CacheError::TooLarge { id: self.item.id(), max_bytes });
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(CacheError::io(&self.temporary))
    }

    /// Puts it in its place, durably, if its hash is right. Blocks until the disk has it.
    ///
    /// # Errors
    /// When the hash is wrong, the cache has no room, or the disk is full.
    pub fn commit(mut self) -> Result<(), CacheError> {
        let expected = self.item.id();
        let found = BlobId(Sha256Hash(self.hasher.finalize_reset().into()));
        if found != expected {
            return Err(CacheError::HashMismatch { expected, found });
        }
        let target = self.cache.path(self.item);
        let known = fs::metadata(&target).map_or(0, |meta| meta.len());
        self.cache.make_room(self.bytes.saturating_sub(known))?;
        self.file.sync_all().map_err(CacheError::io(&self.temporary))?;
        fs::rename(&self.temporary, &target).map_err(CacheError::io(&target))?;
        sync_folder_of(&target).map_err(CacheError::io(&target))
    }
}

/// Claims what an earlier transfer has left, and hashes it. `None`: there is nothing.
fn take_up(part: &Path, temporary: &Path) -> io::Result<Option<(File, Sha256, u64)>> {
    match fs::rename(part, temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        renamed => renamed?,
    }
    let mut file = File::options().read(true).write(true).open(temporary)?;
    let (mut hasher, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(Some((file, hasher, bytes)));
        }
        hasher.update(&piece[..length]);
        bytes += length as u64;
    }
}

impl Drop for CacheWriter<'_> {
    fn drop(&mut self) {
        // After a commit there is nothing here; a file that stays is cleared when the cache is opened.
        let _ = fs::remove_file(&self.temporary);
    }
}
