//! A host made of a temporary folder: its root, the agent's state folder, and what a test controls.
//!
//! Not here: assertions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use wavegate_agent::activation::{ActivationOutcome, Activator, Setup};
use wavegate_agent::cache::{Cache, Item};
use wavegate_agent::probes::{CheckResult, CheckRunner, Checking};
use wavegate_agent::resources::engine::Limits;
use wavegate_agent::resources::host::HostSettings;
use wavegate_agent::resources::shell_job::ShellJobs;
use wavegate_agent::resources::steps::{Step, Steps};
use wavegate_proto::artifact::bundle::{Bundle, Check};
use wavegate_proto::ids::{BlobId, ClosureId, ResourceId};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::resource::{ResourceState, ResourceStatus};

use crate::machine::{Machine, Network};

/// Cuts the power, lets single steps fail, and turns the clock.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Steps until the power is cut; negative: never.
    left: AtomicI64,
    /// Seconds since the beginning of the test.
    secs: AtomicI64,
    once: Mutex<Option<(Step, io::ErrorKind, u32)>>,
}

impl Trouble {
    pub(crate) fn none(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, secs: i64) {
        self.secs.fetch_add(secs, Ordering::SeqCst);
    }

    pub(crate) fn cut_after(&self, steps: u32) {
        self.left.store(i64::from(steps) + 1, Ordering::SeqCst);
    }

    pub(crate) fn fail(&self, step: Step, kind: io::ErrorKind, times: u32) {
        *self.once.lock().unwrap() = Some((step, kind, times));
    }
}

impl Steps for Trouble {
    fn before(&self, step: Step) -> io::Result<()> {
        let left = self.left.load(Ordering::SeqCst);
        if left >= 0 {
            self.left.store((left - 1).max(0), Ordering::SeqCst);
            if left <= 1 {
                return Err(io::Error::other("the power was cut"));
            }
        }
        let mut once = self.once.lock().unwrap();
        if let Some((wanted, kind, times)) = once.as_mut()
            && *wanted == step
            && *times > 0
        {
            *times -= 1;
            return Err(io::Error::from(*kind));
        }
        Ok(())
    }
}

/// Answers checks: fails the first `failures` of them.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) failures: AtomicU32,
    pub(crate) asked: AtomicU32,
}

impl CheckRunner for Answers {
    fn run<'a>(&'a self, _check: &'a Check, _timeout: Duration) -> Checking<'a> {
        Box::pin(async move {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            if number < self.failures.load(Ordering::SeqCst) {
                CheckResult::fail("not yet")
            } else {
                CheckResult::pass()
            }
        })
    }
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) trouble: Arc<Trouble>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) activator: Activator,
}

/// What a path is: type and mode, owner, content or target.
pub(crate) type Tree = BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)>;

pub(crate) const LIMITS: Limits =
    Limits { activation: Duration::from_secs(900), awaiting: Duration::from_secs(3600) };

impl World {
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// A host whose root is that of a container with a systemd, and the container. `None`: not on this machine.
    pub(crate) fn boot(name: &str) -> Option<(Self, Machine)> {
        let (folder, machine) = Machine::boot(name, Network::ITS_OWN)?;
        Some((Self::in_folder(folder).restart_with_systemd(&machine.bus()), machine))
    }

    pub(crate) fn restart_with_systemd(self, bus: &str) -> Self {
        self.restart_with(settings(ShellJobs::Allowed, Some(bus.to_owned())))
    }

    /// With an engine that listens here.
    pub(crate) fn with_engine(socket: PathBuf) -> Self {
        Self::new().restart_with_engine(socket)
    }

    pub(crate) fn restart_with_engine(self, socket: PathBuf) -> Self {
        let allows =
            HostSettings { container_sockets: vec![socket], ..settings(ShellJobs::Refused, None) };
        self.restart_with(allows)
    }

    /// The agent is started again with other settings.
    pub(crate) fn restart_with(self, settings: HostSettings) -> Self {
        let Self { folder, trouble, answers, activator } = self;
        drop(activator);
        trouble.none();
        let activator = open(folder.path(), &trouble, &answers, settings);
        Self { folder, trouble, answers, activator }
    }

    /// The host's own configuration lets no bundle run programs.
    pub(crate) fn without_jobs() -> Self {
        Self::new().restart_with(settings(ShellJobs::Refused, None))
    }

    pub(crate) fn in_folder(folder: tempfile::TempDir) -> Self {
        fs::create_dir_all(folder.path().join("root/etc")).unwrap();
        fs::create_dir_all(folder.path().join("state")).unwrap();
        let trouble = Arc::new(Trouble::default());
        trouble.none();
        let answers = Arc::new(Answers::default());
        let activator = open(folder.path(), &trouble, &answers, settings(ShellJobs::Allowed, None));
        Self { folder, trouble, answers, activator }
    }

    /// The agent is started again on what the last one left.
    pub(crate) fn restart(self) -> Self {
        self.restart_with(settings(ShellJobs::Allowed, None))
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, content: &str, mode: u32) {
        fs::write(self.path(path), content).unwrap();
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.path(path)).unwrap().mode() & 0o7777
    }

    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        grow(&self.root(), &mut tree);
        tree
    }

    /// Puts a bundle of these resources into the cache.
    pub(crate) fn bundle(&self, resources: Value) -> (ClosureId, Arc<Bundle>) {
        self.document(serde_json::json!({ "schema_version": 1, "resources": resources }))
    }

    pub(crate) fn document(&self, document: Value) -> (ClosureId, Arc<Bundle>) {
        let bytes = serde_json::to_vec(&document).unwrap();
        let id = BlobId::of(&bytes);
        cache(&self.state()).put(Item::Closure(id), &bytes).unwrap();
        (ClosureId::Bundle(id), Arc::new(serde_json::from_slice(&bytes).unwrap()))
    }

    pub(crate) fn asset(&self, bytes: &[u8]) -> BlobId {
        let id = BlobId::of(bytes);
        cache(&self.state()).put(Item::Asset(id), bytes).unwrap();
        id
    }

    pub(crate) async fn activate(&self, resources: Value) -> ActivationOutcome {
        let (closure, bundle) = self.bundle(resources);
        self.activator.activate(&closure, Some(bundle), LIMITS).await
    }

    pub(crate) async fn activate_document(&self, document: Value) -> ActivationOutcome {
        let (closure, bundle) = self.document(document);
        self.activator.activate(&closure, Some(bundle), LIMITS).await
    }

    pub(crate) async fn back_to_nothing(&self) -> ActivationOutcome {
        self.activator.rollback(None, LIMITS).await
    }

    pub(crate) fn status(&self, id: &str) -> ResourceStatus {
        let id = ResourceId::new(id).unwrap();
        self.activator.statuses().snapshot()[&id].status.clone()
    }

    pub(crate) fn state_of(&self, id: &str) -> ResourceState {
        self.status(id).status
    }
}

fn cache(state: &Path) -> Cache {
    Cache::open(state, 1 << 30, BTreeSet::new()).unwrap()
}

pub(crate) fn settings(shell_jobs: ShellJobs, systemd_bus: Option<String>) -> HostSettings {
    let clock = Arc::new(|| Timestamp::from_unix_millis(1_800_000_000_000));
    HostSettings { shell_jobs, clock, systemd_bus, container_sockets: Vec::new(), reach: None }
}

fn open(
    folder: &Path,
    trouble: &Arc<Trouble>,
    answers: &Arc<Answers>,
    mut settings: HostSettings,
) -> Activator {
    let state_dir = folder.join("state");
    let turned = Arc::clone(trouble);
    settings.clock = Arc::new(move || {
        let secs = turned.secs.load(Ordering::SeqCst);
        Timestamp::from_unix_millis(1_800_000_000_000 + secs * 1000)
    });
    let setup = Setup {
        root: folder.join("root"),
        cache: Arc::new(cache(&state_dir)),
        state_dir,
        checks: Arc::clone(answers) as Arc<dyn CheckRunner>,
        steps: Arc::clone(trouble) as Arc<dyn Steps>,
        settings,
        nixos: None,
        own: None,
    };
    Activator::open(setup).unwrap().0
}

fn grow(folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        if meta.is_dir() {
            grow(&path, tree);
        }
        tree.insert(path, (meta.mode(), meta.uid(), meta.gid(), content));
    }
}

pub(crate) fn complete(changed: bool) -> ActivationOutcome {
    ActivationOutcome::Complete { changed }
}

/// The reason of a failure and whether it changed anything.
pub(crate) fn failure(outcome: &ActivationOutcome) -> (String, bool) {
    match outcome {
        ActivationOutcome::Failed { reason, changed, .. } => (reason.clone(), *changed),
        ActivationOutcome::Complete { .. } => ("complete".to_owned(), false),
        ActivationOutcome::Deferred { .. } => ("deferred".to_owned(), true),
        ActivationOutcome::ForTheNext => ("for the next".to_owned(), true),
    }
}
