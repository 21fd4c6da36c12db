//! What a resource kind needs of the host: the root, accounts, the cache, the list of what is ours.
//!
//! Not here: decisions of any sort.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::accounts::Accounts;
use super::change::ChangeMark;
use super::error::{Doing as _, ResourceError};
use super::owned::{Owned, OwnedError};
use super::place::{Found, Place};
use super::root::{Attributes, Root};
use super::steps::Steps;
use crate::cache::Cache;

/// The host as the resource engine sees it.
#[derive(Debug)]
pub struct Host {
    root: Root,
    accounts: Accounts,
    cache: Arc<Cache>,
    owned: Owned,
    mark: ChangeMark,
    steps: Arc<dyn Steps>,
    /// Two files may need the same missing folder.
    making_folders: Mutex<()>,
}

/// Why the host cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum OpenHostError {
    /// The root cannot be opened.
    #[error("open the root {path}: {source}")]
    Root {
        /// The root.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The list of what is ours cannot be used.
    #[error(transparent)]
    Owned(#[from] OwnedError),
}

impl Host {
    /// Opens `root` and the agent's own records in `state_dir`.
    ///
    /// # Errors
    /// When either cannot be read, or was written by a newer agent.
    pub fn open(
        root: &Path,
        state_dir: &Path,
        cache: Arc<Cache>,
        steps: Arc<dyn Steps>,
    ) -> Result<Self, OpenHostError> {
        let opened = Root::open(root)
            .map_err(|source| OpenHostError::Root { path: root.display().to_string(), source })?;
        Ok(Self {
            root: opened,
            accounts: Accounts::default(),
            cache,
            owned: Owned::open(state_dir, Arc::clone(&steps))?,
            mark: ChangeMark::open(state_dir, Arc::clone(&steps)),
            steps,
            making_folders: Mutex::new(()),
        })
    }

    /// The folder that a bundle's `/` stands for.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Users and groups.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Closures and assets.
    #[must_use]
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// What is ours.
    #[must_use]
    pub fn owned(&self) -> &Owned {
        &self.owned
    }

    /// Whether anything was changed.
    #[must_use]
    pub fn mark(&self) -> &ChangeMark {
        &self.mark
    }

    /// Told of every change before it happens.
    #[must_use]
    pub fn steps(&self) -> &dyn Steps {
        self.steps.as_ref()
    }

    /// Changes the host: the intention is durable first, and success is noted.
    pub(crate) fn change<T>(
        &self,
        act: impl FnOnce() -> Result<T, ResourceError>,
    ) -> Result<T, ResourceError> {
        self.intend_change()?;
        let done = act()?;
        self.note_change();
        Ok(done)
    }

    /// Makes a folder at `place`, unless one has come there meanwhile.
    pub(crate) fn make_folder(
        &self,
        place: &Place,
        attributes: Attributes,
    ) -> Result<(), ResourceError> {
        let _alone = self.making_folders.lock().unwrap_or_else(PoisonError::into_inner);
        match place.look()? {
            Found::Absent => place.make_folder(self.steps(), attributes),
            Found::Folder(_) => Ok(()),
            other @ (Found::File(_) | Found::Link(_) | Found::Other) => {
                Err(place.unexpected(other.describe()))
            }
        }
    }

    pub(crate) fn intend_change(&self) -> Result<(), ResourceError> {
        self.mark.intend().doing(ResourceError::io("write", "unsettled.json"))
    }

    pub(crate) fn note_change(&self) {
        self.mark.note();
    }
}
