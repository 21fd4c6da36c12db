//! A host whose agent is the real binary on NixOS's layout of links, with programs of Nix and systemd that log
//! and misbehave (`fake-nixos`).
//!
//! Not here: assertions.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use wavegate_proto::ids::ClosureId;

use super::agent::Host;
use super::release::Release;

/// What a system is made of.
pub(crate) struct SystemOf {
    /// One letter or digit; tells it from others.
    pub(crate) mark: char,
    /// Its kernel.
    pub(crate) kernel: &'static str,
    /// How switching to it goes wrong, see `fake-nixos/switch-to-configuration`.
    pub(crate) trouble: &'static str,
}

pub(crate) struct NixosHost {
    pub(crate) host: Host,
}

impl NixosHost {
    /// A host on which system `a` was booted, runs and boots next.
    pub(crate) async fn new() -> Self {
        let this = Self { host: Host::new().await };
        fs::create_dir_all(this.fake("units")).unwrap();
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/fake-nixos");
        for entry in fs::read_dir(programs).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), this.fake(entry.file_name().to_str().unwrap())).unwrap();
        }
        let root = this.host.root();
        fs::create_dir_all(root.join("run")).unwrap();
        fs::create_dir_all(root.join("nix/store")).unwrap();
        fs::create_dir_all(root.join("nix/var/nix/profiles")).unwrap();
        let first = this.system(&SystemOf { mark: 'a', kernel: "6.1", trouble: "none" });
        fs::rename(this.cached(&first), this.place(&first)).unwrap();
        this.boot(&first);
        symlink(first.to_string(), root.join("nix/var/nix/profiles/system")).unwrap();
        this
    }

    pub(crate) fn fake(&self, name: &str) -> PathBuf {
        self.host.path("fake").join(name)
    }

    fn place(&self, system: &ClosureId) -> PathBuf {
        self.host.root().join(system.to_string().trim_start_matches('/'))
    }

    fn cached(&self, system: &ClosureId) -> PathBuf {
        self.fake("cache").join(system.to_string().trim_start_matches("/nix/store/"))
    }

    /// A system that can be fetched.
    pub(crate) fn system(&self, of: &SystemOf) -> ClosureId {
        let hash = String::from(of.mark).repeat(32);
        let system = format!("/nix/store/{hash}-nixos-system-host-01-25.11").parse().unwrap();
        let folder = self.cached(&system);
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::create_dir_all(folder.join("etc/systemd/system")).unwrap();
        fs::copy(self.fake("switch-to-configuration"), folder.join("bin/switch-to-configuration"))
            .unwrap();
        symlink(format!("/nix/store/linux-{}/bzImage", of.kernel), folder.join("kernel")).unwrap();
        fs::write(folder.join("init-interface-version"), "systemd 2").unwrap();
        fs::write(folder.join("trouble"), of.trouble).unwrap();
        system
    }

    /// The machine comes up with this system.
    pub(crate) fn boot(&self, system: &ClosureId) {
        for link in ["run/booted-system", "run/current-system"] {
            let link = self.host.root().join(link);
            fs::remove_file(&link).ok();
            symlink(system.to_string(), link).unwrap();
        }
    }

    /// A release of a system with one probe, which looks whether it runs.
    pub(crate) fn release(&self, serial: u64, system: &ClosureId) -> Release {
        let look = format!("test $(readlink $WAVEGATE_ROOT/run/current-system) = {system}");
        let probes = json!({"schema_version": 1, "resources": [], "probes": [{
            "name": "runs", "kind": "exec", "mode": "enforce", "argv": ["/bin/sh", "-c", look],
            "env": {}, "user": "root", "expect_exit": 0, "interval_secs": 1, "timeout_secs": 1,
        }]});
        Release { store_path: Some(system.clone()), ..Release::new(serial, probes) }
    }

    pub(crate) fn spawn(&self) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.host.path("agent.log"));
        let mut command = self.host.command();
        command.arg("--nixos").arg("--nixos-programs").arg(self.fake(""));
        let agent = command.stderr(log.unwrap()).stdout(Stdio::null()).spawn().unwrap();
        fs::write(self.host.root().join("agent.pid"), agent.id().to_string()).unwrap();
        agent
    }

    fn link(&self, link: &str) -> String {
        let mut path = self.host.root().join(link);
        for _ in 0..4 {
            let target = fs::read_link(&path).unwrap();
            if target.is_absolute() {
                return target.to_str().unwrap().to_owned();
            }
            path = path.with_file_name("").join(target);
        }
        panic!("{link} leads nowhere")
    }

    pub(crate) fn runs(&self) -> String {
        self.link("run/current-system")
    }

    pub(crate) fn boots_next(&self) -> String {
        self.link("nix/var/nix/profiles/system")
    }

    /// What the programs were told, in order; beside looks at units.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.fake("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The unit that was started first.
    pub(crate) fn unit(&self) -> String {
        let log = self.log();
        let words = log.iter().find_map(|line| line.strip_prefix("systemd-run --unit=")).unwrap();
        words.split(' ').next().unwrap().to_owned()
    }

    /// The systems that were switched to, or were made to boot next.
    pub(crate) fn switches(&self) -> Vec<String> {
        let switches = self.host.file("switches").unwrap_or_default();
        switches.lines().map(str::to_owned).collect()
    }

    pub(crate) fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.host.state_dir().join(file);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, value.to_string()).unwrap();
    }
}
