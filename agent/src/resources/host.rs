//! What a resource kind needs of the host: the root, accounts, the cache, the list of what is ours.
//!
//! Not here: decisions of any sort.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wavegate_proto::artifact::bundle::{Bundle, Resource, ResourceSpec};
use wavegate_proto::ids::Sha256Hash;
use wavegate_proto::time::Timestamp;

use super::accounts::Accounts;
use super::change::ChangeMark;
use super::durable::{self, Stored};
use super::error::{Doing as _, ResourceError};
use super::jobs::Jobs;
use super::one_way::OneWaySteps;
use super::owned::{Owned, OwnedError};
use super::place::{Found, Place};
use super::root::{Attributes, Root};
use super::shell_job::ShellJobs;
use super::status::WallClock;
use super::steps::Steps;
use super::systemd::Systemd;
use crate::cache::Cache;

/// The host as the resource engine sees it.
pub struct Host {
    root: Root,
    accounts: Accounts,
    cache: Arc<Cache>,
    owned: Owned,
    mark: ChangeMark,
    one_way: OneWaySteps,
    steps: Arc<dyn Steps>,
    jobs: Jobs,
    shell_jobs: ShellJobs,
    clock: WallClock,
    state_dir: PathBuf,
    systemd_bus: Option<String>,
    /// dpkg works on one thing at a time.
    installing: tokio::sync::Mutex<()>,
    /// Several units are read anew together.
    reloading: tokio::sync::Mutex<()>,
    /// Two files may need the same missing folder.
    making_folders: Mutex<()>,
    /// Two accounts stand in the same files.
    changing_accounts: Mutex<()>,
}

/// What the host's own configuration lets bundles do, and how late it is.
#[derive(Clone)]
pub struct HostSettings {
    /// Whether shell jobs may run.
    pub shell_jobs: ShellJobs,
    /// The wall clock.
    pub clock: WallClock,
    /// The D-Bus address of the root's systemd; `None`: it has none.
    pub systemd_bus: Option<String>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("root", &self.root).finish_non_exhaustive()
    }
}

impl fmt::Debug for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSettings").field("shell_jobs", &self.shell_jobs).finish_non_exhaustive()
    }
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
    /// The list of steps that cannot be undone cannot be used.
    #[error("read one-way.json: {0}")]
    OneWay(io::Error),
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
        settings: HostSettings,
    ) -> Result<Self, OpenHostError> {
        let opened = Root::open(root)
            .map_err(|source| OpenHostError::Root { path: root.display().to_string(), source })?;
        Ok(Self {
            root: opened,
            accounts: Accounts::below(root),
            cache,
            owned: Owned::open(state_dir, Arc::clone(&steps))?,
            mark: ChangeMark::open(state_dir, Arc::clone(&steps)),
            one_way: OneWaySteps::open(state_dir, Arc::clone(&steps))
                .map_err(OpenHostError::OneWay)?,
            jobs: Jobs::in_state_dir(state_dir, Arc::clone(&steps)),
            shell_jobs: settings.shell_jobs,
            clock: settings.clock,
            state_dir: state_dir.to_owned(),
            systemd_bus: settings.systemd_bus,
            installing: tokio::sync::Mutex::default(),
            reloading: tokio::sync::Mutex::default(),
            steps,
            making_folders: Mutex::new(()),
            changing_accounts: Mutex::new(()),
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

    /// Which steps that cannot be undone were begun.
    #[must_use]
    pub fn one_way(&self) -> &OneWaySteps {
        &self.one_way
    }

    /// Refuses what this host's own configuration does not let a bundle do.
    ///
    /// # Errors
    /// [`ResourceError::ShellJobsRefused`].
    pub fn permits(&self, bundle: &Bundle) -> Result<(), ResourceError> {
        let is_job = |resource: &&Resource| matches!(resource.spec, ResourceSpec::ShellJob(_));
        match bundle.resources.iter().find(is_job) {
            Some(Resource { id, .. }) if self.shell_jobs == ShellJobs::Refused => {
                Err(ResourceError::ShellJobsRefused { id: id.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Which jobs ran.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Whether jobs may run.
    #[must_use]
    pub fn shell_jobs(&self) -> ShellJobs {
        self.shell_jobs
    }

    /// The agent's own folder.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Random text that never leaves this host, made when it is first needed.
    pub(crate) fn salt(&self) -> Result<String, ResourceError> {
        let act = ResourceError::io("read", "the salt");
        let path = self.state_dir.join("salt.json");
        let _alone = self.making_folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Stored::Found(salt) = durable::read_json(&path).doing(act)? {
            return Ok(salt);
        }
        let mut random = [0_u8; 32];
        let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        if filled.doing(act)? != random.len() {
            return Err(act.refused(io::Error::other("too little randomness")));
        }
        let salt = Sha256Hash(random).to_string();
        durable::write_json(self.steps.as_ref(), &path, &salt).doing(act)?;
        Ok(salt)
    }

    /// Connects to the root's systemd.
    pub(crate) async fn systemd(&self) -> Result<Systemd, ResourceError> {
        match &self.systemd_bus {
            Some(address) => Systemd::connect(address).await,
            None => Err(ResourceError::NoSystemd),
        }
    }

    /// Held by whoever installs packages.
    pub(crate) fn installing(&self) -> &tokio::sync::Mutex<()> {
        &self.installing
    }

    /// Held by whoever lets systemd read its units.
    pub(crate) fn reloading(&self) -> &tokio::sync::Mutex<()> {
        &self.reloading
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Held by whoever changes accounts.
    pub(crate) fn changing_accounts(&self) -> &Mutex<()> {
        &self.changing_accounts
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
