//! The demo's processes: this program again, as control plane and as agents. They die with the demo.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use wavegate_proto::ids::HostName;

use super::scene::{Scene, unexpected};
use crate::exit::Failure;

/// Set for the demo's processes: they are killed when the demo goes, however it goes.
const DIE_WITH_PARENT: &str = "WAVEGATE_DIE_WITH_PARENT";

/// How often agents send heartbeats in the demo, in seconds.
pub(super) const HEARTBEAT_SECS: u64 = 1;

/// Asks the kernel to kill this process when its parent dies, if the parent wants that.
pub fn die_with_parent() {
    if std::env::var_os(DIE_WITH_PARENT).is_some() {
        let kill = Some(rustix::process::Signal::KILL);
        // Where the kernel cannot do that, the demo's own end still kills its children.
        let _best_effort = rustix::process::set_parent_process_death_signal(kill);
    }
}

/// A process of the demo; killed when dropped.
pub(super) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Process {
    /// `kill -9`, and gone.
    pub(super) fn kill_9(mut self) -> Result<(), Failure> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Whether it has ended by itself, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

/// A running control plane and where it listens.
pub(super) struct ControlPlane {
    pub(super) process: Process,
    /// `https://127.0.0.1:…`
    pub(super) url: String,
    /// `http://127.0.0.1:…`
    pub(super) status_url: String,
}

fn this_program(scene: &Scene, log: &str) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let log = File::options().create(true).append(true).open(scene.dir.join("logs").join(log))?;
    command.env(DIE_WITH_PARENT, "1").stdin(Stdio::null()).stderr(log);
    Ok(command)
}

/// Starts the control plane on these addresses and waits until it listens.
pub(super) fn start_control_plane(
    scene: &Scene,
    listen: &str,
    status_listen: &str,
) -> Result<ControlPlane, Failure> {
    let dir = &scene.dir;
    let mut command = this_program(scene, "control-plane.log")?;
    command.args(["cp", "serve", "--listen", listen, "--status-listen", status_listen]);
    command.arg("--heartbeat-secs").arg(HEARTBEAT_SECS.to_string());
    path_args(
        &mut command,
        &[
            ("--state-dir", control_plane_state(dir)),
            ("--trust", dir.join("trust.json")),
            ("--tls-cert", dir.join("certs/control-plane.pem")),
            ("--tls-key", dir.join("certs/control-plane.key")),
            ("--client-ca", dir.join("ca/ca.pem")),
        ],
    );
    let mut process = Process(command.stdout(Stdio::piped()).spawn()?);
    let stdout = process.0.stdout.take();
    let mut lines = BufReader::new(stdout.ok_or_else(|| unexpected("no stdout"))?).lines();
    let mut address = |word: &str| {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let address = line.strip_prefix(word).map(str::trim).map(str::to_owned);
        address.ok_or_else(|| {
            unexpected(format!("the control plane did not start: see {}", logs(dir)))
        })
    };
    let (url, status_url) = (address("listening ")?, address("status ")?);
    Ok(ControlPlane { process, url, status_url })
}

/// Starts the agent of a host.
pub(super) fn start_agent(scene: &Scene, host: &HostName, url: &str) -> Result<Process, Failure> {
    let dir = &scene.dir;
    let mut command = this_program(scene, &format!("{host}.log"))?;
    command.args(["agent", "run", "--url", url]).stdout(Stdio::null());
    path_args(
        &mut command,
        &[
            ("--state-dir", dir.join("state").join(host.as_str())),
            ("--root", scene.root(host)),
            ("--trust", dir.join("trust.json")),
            ("--ca", dir.join("ca/ca.pem")),
            ("--cert", dir.join(format!("certs/host-{host}.pem"))),
            ("--key", dir.join(format!("certs/host-{host}.key"))),
        ],
    );
    Ok(Process(command.spawn()?))
}

fn path_args(command: &mut Command, args: &[(&str, PathBuf)]) {
    for (name, path) in args {
        command.arg(name).arg(path);
    }
}

/// The control plane's state folder.
pub(super) fn control_plane_state(dir: &Path) -> PathBuf {
    dir.join("state/control-plane")
}

/// Where to look when something went wrong.
pub(super) fn logs(dir: &Path) -> String {
    dir.join("logs").display().to_string()
}
