//! What of this host is ours: a durable list, in the order in which we made it, with what was there
//! before.
//!
//! A path enters the list before it is first changed and leaves it after it has been put back. What
//! is not on the list is never deleted (D7): a lost list costs left-over files, never somebody's own.
//! Not here: how something is kept aside or put back (see `original`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::ResourceKind;

use super::durable::{self, Stored};
use super::error::{Doing as _, ResourceError};
use super::original::{Original, SavedFolder};
use super::steps::Steps;

/// The version of the file.
const SCHEMA_VERSION: u32 = 1;

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnedError {
    /// It was written by a newer agent.
    #[error("{path} has version {found}, this agent reads up to {SCHEMA_VERSION}")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: u64,
    },
    /// The file system refused.
    #[error("read {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Something on the host that we made or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedEntry {
    /// Its place in the order in which things were made.
    pub order: u64,
    /// The resource it belongs to; of a folder made on the way, the resource that needed it.
    pub resource: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Its path as the bundle writes it; for what is no path, its kind and name, such as `user:app`.
    pub path: String,
    /// What was there before our first change.
    pub original: Original,
    /// How it was before a bundle set what others leave alone.
    #[serde(default)]
    pub before: Before,
}

/// How something was before a bundle set what others leave alone: a later bundle that leaves it alone gets it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Before {
    /// The owner; `None`: no bundle has set it.
    pub uid: Option<u32>,
    /// The group; likewise.
    pub gid: Option<u32>,
    /// Permission bits of a folder, which a bundle that only puts something into it leaves alone.
    pub mode: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Document {
    schema_version: u32,
    next_order: u64,
    /// An earlier list was lost: there may be things of ours that this one does not name.
    lost: bool,
    entries: Vec<OwnedEntry>,
}

impl Document {
    /// A new list. After a lost one its numbers go on where the originals end, so that none is
    /// overwritten.
    fn empty(lost: bool, highest: u64) -> Self {
        let next_order = highest.saturating_add(1);
        Self { schema_version: SCHEMA_VERSION, next_order, lost, entries: Vec::new() }
    }
}

/// The list and the folder of saved originals.
#[derive(Debug)]
pub struct Owned {
    path: PathBuf,
    saved: SavedFolder,
    steps: Arc<dyn Steps>,
    document: Mutex<Document>,
}

impl Owned {
    /// Reads `owned.json` of the state folder. One that cannot be understood is moved aside, and
    /// nothing it may have named is touched.
    ///
    /// # Errors
    /// When it was written by a newer agent, or the file system refuses.
    pub fn open(state_dir: &Path, steps: Arc<dyn Steps>) -> Result<Self, OwnedError> {
        let path = state_dir.join("owned.json");
        let name = path.display().to_string();
        let io_error = |source| OwnedError::Io { path: name.clone(), source };
        let found: Option<u64> =
            match durable::read_json::<serde_json::Value>(&path).map_err(io_error)? {
                Stored::Found(value) => value["schema_version"].as_u64(),
                Stored::Absent | Stored::Unreadable(_) => None,
            };
        if let Some(found) = found.filter(|found| *found > u64::from(SCHEMA_VERSION)) {
            return Err(OwnedError::Newer { path: name.clone(), found });
        }
        let highest = SavedFolder::highest(state_dir);
        let document = match durable::read_json(&path).map_err(io_error)? {
            Stored::Found(document) => document,
            // The folder of originals is made after the list: alone, it shows that there was one.
            Stored::Absent => Document::empty(highest.is_some(), highest.unwrap_or(0)),
            Stored::Unreadable(why) => {
                let aside = path.with_extension("json.bad");
                tracing::error!(%why, aside = %aside.display(), "list of owned paths unreadable");
                std::fs::rename(&path, aside).map_err(io_error)?;
                Document::empty(true, highest.unwrap_or(0))
            }
        };
        durable::write_json(steps.as_ref(), &path, &document).map_err(io_error)?;
        let saved = SavedFolder::open(state_dir, Arc::clone(&steps)).map_err(io_error)?;
        Ok(Self { path, saved, steps, document: Mutex::new(document) })
    }

    /// Where originals are kept.
    pub(crate) fn saved(&self) -> &SavedFolder {
        &self.saved
    }

    /// The list, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<OwnedEntry> {
        self.lock().entries.clone()
    }

    /// Whether an earlier list was lost. Then going back to nothing cannot be complete.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// Whether `path` is on the list.
    #[must_use]
    pub fn owns(&self, path: &str) -> bool {
        self.lock().entries.iter().any(|entry| entry.path == path)
    }

    /// Puts `path` on the list, durably, before its first change. `save` keeps what is there now
    /// under the number given; it is not called when the path is on the list already.
    pub(crate) fn claim(
        &self,
        resource: &ResourceId,
        kind: ResourceKind,
        path: &str,
        save: impl FnOnce(u64) -> Result<Original, ResourceError>,
    ) -> Result<(), ResourceError> {
        let mut document = self.lock();
        if document.entries.iter().any(|entry| entry.path == path) {
            return Ok(());
        }
        let order = document.next_order;
        let original = save(order)?;
        let mut next = document.clone();
        next.next_order = order + 1;
        next.entries.push(OwnedEntry {
            order,
            resource: resource.clone(),
            kind,
            path: path.to_owned(),
            original,
            before: Before::default(),
        });
        self.write(&next)?;
        *document = next;
        Ok(())
    }

    /// Takes `path` off the list after it has been put back.
    pub(crate) fn release(&self, path: &str) -> Result<(), ResourceError> {
        let mut document = self.lock();
        let mut next = document.clone();
        next.entries.retain(|entry| entry.path != path);
        self.write(&next)?;
        let gone = std::mem::replace(&mut *document, next).entries;
        for entry in gone.iter().filter(|entry| entry.path == path) {
            self.saved.forget(&entry.original);
        }
        Ok(())
    }

    /// How `path` was before bundles set what others leave alone.
    pub(crate) fn before(&self, path: &str) -> Before {
        let document = self.lock();
        let entry = document.entries.iter().find(|entry| entry.path == path);
        entry.map(|entry| entry.before).unwrap_or_default()
    }

    /// Changes that, durably; nothing is written when nothing is changed.
    pub(crate) fn set_before(
        &self,
        path: &str,
        change: impl FnOnce(Before) -> Before,
    ) -> Result<(), ResourceError> {
        let mut document = self.lock();
        let mut next = document.clone();
        let Some(entry) = next.entries.iter_mut().find(|entry| entry.path == path) else {
            return Ok(());
        };
        let changed = change(entry.before);
        if changed == entry.before {
            return Ok(());
        }
        entry.before = changed;
        self.write(&next)?;
        *document = next;
        Ok(())
    }

    fn write(&self, document: &Document) -> Result<(), ResourceError> {
        let path = self.path.display().to_string();
        durable::write_json(self.steps.as_ref(), &self.path, document)
            .doing(ResourceError::io("write", &path))
    }

    fn lock(&self) -> MutexGuard<'_, Document> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
