//! A real Podman with a storage of its own, and images made of a busybox.
//!
//! Needs root and Debian's `podman`, `runc`, `containernetworking-plugins`, `iptables` and `busybox-static`. Where these are
//! missing, the tests say so and end; with `WAVEGATE_REAL_PODMAN=required`, as in CI, they fail.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::machine::{run, until};
use crate::world::World;

/// What this kernel and a root without systemd need.
const CONFIGURATION: &str = "[containers]
default_ulimits = [\"nofile=20000:20000\", \"nproc=30000:30000\"]
[engine]
runtime = \"runc\"
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
";

/// An engine that ends with the test, containers and all.
pub(crate) struct Podman {
    folder: tempfile::TempDir,
    service: Option<Child>,
    /// The image, by its digest.
    pub(crate) image: String,
}

impl Podman {
    /// A host with an engine. `None`: not on this machine.
    pub(crate) fn start() -> Option<(World, Self)> {
        let there = |path: &str| std::path::Path::new(path).exists();
        let programs = ["/usr/bin/podman", "/usr/sbin/runc", "/bin/busybox"];
        if !rustix::process::geteuid().is_root() || !programs.into_iter().all(there) {
            let required = std::env::var("WAVEGATE_REAL_PODMAN").is_ok_and(|v| v == "required");
            assert!(!required, "needs root, podman, runc and busybox-static: run .ci/setup");
            eprintln!("not run: needs root, podman, runc and busybox-static");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("containers.conf"), CONFIGURATION).unwrap();
        let mut this = Self { folder, service: None, image: String::new() };
        this.image = this.import("one");
        this.serve();
        let world = World::with_engine(this.socket());
        Some((world, this))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("podman.sock")
    }

    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command
            .env("CONTAINERS_CONF", self.folder.path().join("containers.conf"))
            .arg("--root")
            .arg(self.folder.path().join("storage"))
            .arg("--runroot")
            .arg(self.folder.path().join("run"));
        command
    }

    /// What podman says.
    pub(crate) fn podman(&self, words: &[&str]) -> String {
        run(self.command().args(words)).trim().to_owned()
    }

    /// Whether podman has a container of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.command().args(["container", "exists", name]).status().unwrap().success()
    }

    pub(crate) fn inspect(&self, name: &str, what: &str) -> String {
        self.podman(&["inspect", "--format", what, name])
    }

    /// An image with a busybox and this mark; its name by digest.
    pub(crate) fn import(&self, mark: &str) -> String {
        let root = self.folder.path().join(format!("image-{mark}"));
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in ["sh", "sleep", "cat", "env", "httpd"] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::write(root.join("mark"), mark).unwrap();
        let archive = self.folder.path().join(format!("image-{mark}.tar"));
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."));
        let name = format!("localhost/{mark}");
        self.podman(&["import", "-q", archive.to_str().unwrap(), &name]);
        let digest = self.podman(&["image", "inspect", "--format", "{{.Digest}}", &name]);
        format!("{name}@{digest}")
    }

    pub(crate) fn serve(&mut self) {
        let listen = format!("unix://{}", self.socket().display());
        let mut command = self.command();
        command.args(["system", "service", "--time", "0", &listen]);
        let log = fs::File::create(self.folder.path().join("service.log")).unwrap();
        self.service = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        until("the engine", || {
            std::os::unix::net::UnixStream::connect(self.socket()).ok().map(drop)
        });
    }

    pub(crate) fn stop_serving(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill().unwrap();
            service.wait().unwrap();
            fs::remove_file(self.socket()).ok();
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.stop_serving();
        let _gone = self.command().args(["rm", "-f", "-a", "-t", "0"]).output();
        let _gone = Command::new("umount")
            .arg("-l")
            .arg(self.folder.path().join("storage/overlay"))
            .stderr(Stdio::null())
            .status();
    }
}
