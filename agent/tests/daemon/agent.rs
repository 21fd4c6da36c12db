//! A host with an agent: in this process, or as the real binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wavegate_agent::config::Settings;
use wavegate_agent::daemon;
use wavegate_agent::exit::Failure;
use wavegate_agent::resources::shell_job::ShellJobs;
use wavegate_proto::ids::ClosureId;

use super::control_plane::ControlPlane;
use super::pki::Ca;
use super::release::{FLEET, HOST, trust};

/// A host and the control plane it belongs to.
pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) control_plane: ControlPlane,
    pub(crate) ca: Arc<Ca>,
}

/// An agent in this process.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

impl Host {
    pub(crate) async fn new() -> Self {
        wavegate_agent::client::install_crypto_provider();
        let dir = tempfile::tempdir().unwrap();
        let ca = Arc::new(Ca::new());
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        ca.host(FLEET, HOST).write(dir.path(), "host");
        let trust = serde_json::to_vec(&trust()).unwrap();
        std::fs::write(dir.path().join("trust.json"), trust).unwrap();
        std::fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        Self { control_plane: ControlPlane::start(&ca).await, dir, ca }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// What stands in a file of the host; nothing when it is not there.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root().join(path)).ok()
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            state_dir: self.state_dir(),
            trust: self.path("trust.json"),
            url: self.control_plane.url(),
            ca: Some(self.path("ca.pem")),
            cert: self.path("host.pem"),
            key: self.path("host.key"),
            makes_its_key: false,
            renews: false,
            token_file: None,
            host_name: None,
            root: self.root(),
            shell_jobs: ShellJobs::Allowed,
            allow_root_exec: true,
            systemd_bus: None,
            container_sockets: Vec::new(),
            nixos: None,
            drift_interval: Duration::from_millis(300),
            supervised: None,
        }
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(self.settings())
    }

    pub(crate) fn start_with(&self, settings: Settings) -> Running {
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { daemon::run(&settings, token).await });
        Running { stop, task }
    }

    /// The real binary, its log in `agent.log`.
    pub(crate) fn spawn(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path("agent.log"));
        let log = log.unwrap();
        self.command().stderr(log).stdout(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate-agent"));
        command
            .arg("run")
            .arg("--url")
            .arg(self.control_plane.url())
            .arg("--allow-root-exec")
            .arg("--allow-shell-jobs");
        let flags = [
            ("--state-dir", "state"),
            ("--trust", "trust.json"),
            ("--ca", "ca.pem"),
            ("--cert", "host.pem"),
            ("--key", "host.key"),
            ("--root", "root"),
        ];
        for (flag, name) in flags {
            command.arg(flag).arg(self.path(name));
        }
        command
    }

    /// Types a command on this host.
    pub(crate) fn ask(&self, words: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate-agent"));
        command.args(words).arg("--state-dir").arg(self.state_dir());
        if words[0] != "explain" {
            command.arg("--root").arg(self.root()).arg("--allow-shell-jobs");
        }
        command.output().unwrap()
    }

    pub(crate) fn current(&self) -> Option<ClosureId> {
        current(&self.state_dir())
    }
}

pub(crate) fn current(state_dir: &Path) -> Option<ClosureId> {
    let steps = Arc::new(wavegate_agent::resources::steps::Unhindered);
    wavegate_agent::current::Current::in_state_dir(state_dir, steps).read().unwrap()
}

impl Running {
    /// How it ends by itself.
    pub(crate) async fn task_end(self) -> Result<(), Failure> {
        self.task.await.unwrap()
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}
