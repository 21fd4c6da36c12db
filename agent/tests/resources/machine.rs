//! A real systemd, booted in a container of its own.
//!
//! Needs root, `systemd-nspawn`, and a small system in `target/systemd-root`, which `.ci/systemd-root` makes.
//! Where these are missing, the tests say so and end; with `WAVEGATE_REAL_SYSTEMD=required`, as in CI, they fail.
//! Not here: the agent's engine on its root (see `world`), a whole agent beside it (the daemon's tests).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A container in which systemd runs as process 1.
pub(crate) struct Machine {
    nspawn: Child,
    pub(crate) leader: String,
    folder: PathBuf,
    cgroups: Vec<PathBuf>,
}

/// What the container sees of the network, as an option of `systemd-nspawn`.
#[derive(Clone, Copy)]
pub(crate) struct Network(pub(crate) Option<&'static str>);

impl Network {
    pub(crate) const ITS_OWN: Self = Self(Some("--private-network"));
}

/// New control groups of this name, in each hierarchy that systemd goes by.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = [root.to_owned(), root.join("unified"), root.join("systemd")];
    let is_one = |folder: &PathBuf| folder.join("cgroup.procs").exists();
    let group = |folder: PathBuf| {
        let group = folder.join(name);
        std::fs::create_dir_all(&group).unwrap();
        group
    };
    hierarchies.into_iter().filter(is_one).map(group).collect()
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Machine {
    /// A folder in which `root` is the container's, and the container. `None`: not on this machine.
    pub(crate) fn boot(name: &str, network: Network) -> Option<(TempDir, Self)> {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/systemd-root");
        let can =
            rustix::process::geteuid().is_root() && base.join("usr/lib/systemd/systemd").exists();
        if !can {
            let required = std::env::var("WAVEGATE_REAL_SYSTEMD").is_ok_and(|v| v == "required");
            assert!(!required, "needs root and {}: run .ci/systemd-root", base.display());
            eprintln!("not run: needs root and {}", base.display());
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let layers = path.join("layers");
        std::fs::create_dir_all(&layers).unwrap();
        std::fs::create_dir_all(path.join("root")).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&layers));
        for layer in ["upper", "work"] {
            std::fs::create_dir(layers.join(layer)).unwrap();
        }
        let (base, layers) = (base.display(), layers.display());
        let options = format!("lowerdir={base},upperdir={layers}/upper,workdir={layers}/work");
        run(Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(path.join("root")));
        let unique = format!("wg-{name}-{}", std::process::id());
        let cgroups = cgroups(&unique);
        // What two systemds in one group kill is not always their own.
        let enter = "while [ \"$1\" != -- ]; do echo 0 >\"$1/cgroup.procs\" || exit; shift; done; shift; exec \"$@\"";
        let nspawn = Command::new("sh")
            .args(["-c", enter, "sh"])
            .args(&cgroups)
            .args(["--", "systemd-nspawn", "--register=no", "--keep-unit", "-q", "-b"])
            .args(network.0)
            .args(["-M", &unique, "-D"])
            .arg(path.join("root"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut machine = Self { nspawn, leader: String::new(), folder: path, cgroups };
        // The first child of nspawn is not yet the one that becomes process 1.
        until("the bus", || {
            let children = std::fs::read_to_string(machine.children()).unwrap();
            machine.leader = children.split_whitespace().next()?.to_owned();
            Path::new(machine.bus().trim_start_matches("unix:path=")).exists().then_some(())
        });
        until("a running system", || {
            let state = machine.systemctl(&["is-system-running"]);
            matches!(state.trim(), "running" | "degraded").then_some(())
        });
        Some((folder, machine))
    }

    /// Where the kernel lists what nspawn has started.
    fn children(&self) -> String {
        format!("/proc/{0}/task/{0}/children", self.nspawn.id())
    }

    pub(crate) fn bus(&self) -> String {
        format!("unix:path=/proc/{}/root/run/dbus/system_bus_socket", self.leader)
    }

    /// A program in the container.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.leader, "-a", program]);
        command
    }

    pub(crate) fn systemctl(&self, words: &[&str]) -> String {
        let output = self.command("systemctl").args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        self.systemctl(&["show", "--value", "-p", property, unit]).trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Without its process 1 everything in it is gone; nspawn's own end would leave it running.
        for leader in std::fs::read_to_string(self.children()).unwrap_or_default().split(' ') {
            if let Some(leader) = leader.parse().ok().and_then(Pid::from_raw) {
                let _gone = kill_process(leader, Signal::KILL);
            }
        }
        let _gone = self.nspawn.kill();
        let _gone = self.nspawn.wait();
        let deadline = Instant::now() + Duration::from_secs(5);
        let leader = Path::new("/proc").join(&self.leader);
        while leader.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        for group in &self.cgroups {
            // Each is a folder, without any file that could be removed.
            let mut rmdir = Command::new("find");
            rmdir.arg(group).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
            let _not_empty = rmdir.stderr(Stdio::null()).status();
        }
        for mounted in ["root", "layers"] {
            let _gone = Command::new("umount").arg("-l").arg(self.folder.join(mounted)).status();
        }
    }
}
