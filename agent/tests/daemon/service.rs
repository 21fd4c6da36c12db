//! A4: the agent as it is installed, by its package and with the unit and the supervisor of `packaging/systemd`, on a
//! real systemd with the real apt. It takes updates of itself from a repository, and comes back from a bad one.
//!
//! Not here: everything else about its own updates (see `own_update`).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use wavegate_proto::record::HostState;

use super::agent::Host;
use super::control_plane::World;
use super::deb::{self, Deb};
use super::machine::{Machine, Network, run, until};
use super::release::{Release, Signed};

const UNIT: &str = "wavegate-agent.service";
const PROGRAM: &str = "/usr/local/bin/wavegate-agent";

/// The host's system, the agent running in it as a service.
struct Installed {
    host: Host,
    machine: Machine,
    folder: TempDir,
}

/// A version of the program: it notes its start, and becomes the agent, or does not.
fn version(number: &str, then: &str) -> String {
    format!("#!/bin/sh\necho {number} >>/starts\n{then}\n")
}

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(name)
}

impl Installed {
    /// As docs/operations.md has it; `None`: not on this machine.
    async fn new(name: &str) -> Option<Self> {
        // With our loopback, where the control plane listens.
        let (folder, machine) = Machine::boot(name, Network(None))?;
        let this = Self { host: Host::new().await, machine, folder };
        let become_it = "exec /opt/wavegate-agent \"$@\"";
        let contents = [
            ("1.0", version("1.0", become_it)),
            ("2.0", version("2.0", become_it)),
            ("3.0", version("3.0", "exit 1")),
        ];
        let packages = contents.each_ref().map(|(version, content)| Deb {
            name: "wavegate-agent",
            version,
            more: "",
            path: PROGRAM,
            content,
        });
        deb::repository(&this.root("/repository"), &packages);
        fs::write(this.root("/etc/apt/sources.list"), deb::source(Path::new("/repository")))
            .unwrap();
        fs::copy(env!("CARGO_BIN_EXE_wavegate-agent"), this.root("/opt/wavegate-agent")).unwrap();
        fs::create_dir_all(this.root("/etc/wavegate")).unwrap();
        for name in ["trust.json", "ca.pem", "host.pem", "host.key"] {
            fs::copy(this.host.path(name), this.root("/etc/wavegate").join(name)).unwrap();
        }
        fs::write(this.root("/etc/wavegate/agent.toml"), this.settings()).unwrap();
        fs::copy(packaging(UNIT), this.root("/etc/systemd/system").join(UNIT)).unwrap();
        let supervisor = "wavegate-agent-supervise";
        fs::copy(packaging(supervisor), this.root("/usr/local/bin").join(supervisor)).unwrap();
        run(this.machine.command("apt-get").args(["update", "-q"]));
        run(this.machine.command("apt-get").args(["install", "-q", "-y", "wavegate-agent=1.0"]));
        this.machine.systemctl(&["daemon-reload"]);
        this.machine.systemctl(&["enable", "--now", UNIT]);
        // It is the one to go back to.
        let proven = this.root("/var/lib/wavegate-agent/update/proven");
        this.host.control_plane.until("the first agent is proven", |_| proven.exists()).await;
        Some(this)
    }

    fn root(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    fn settings(&self) -> String {
        let url = self.host.control_plane.url();
        let files =
            [("trust", "trust.json"), ("ca", "ca.pem"), ("cert", "host.pem"), ("key", "host.key")];
        let line = |(key, name): (&str, &str)| format!("{key} = \"/etc/wavegate/{name}\"\n");
        format!("url = \"{url}\"\n{}", files.map(line).concat())
    }

    /// Publishes a bundle that wants this version of the package, and something else.
    fn dispatch(&self, serial: u64, version: &str) -> Signed {
        let bundle = json!({"schema_version": 1, "resources": [
            {"id": "agent", "kind": "package", "name": "wavegate-agent", "version": version},
            {"id": "hello", "kind": "file", "path": "/etc/hello", "content": serial.to_string()},
        ]});
        let signed = Release { activation_timeout_secs: 60, ..Release::new(serial, bundle) }.sign();
        self.host.control_plane.dispatch(&signed);
        signed
    }

    async fn until_event(&self, signed: &Signed, kind: &str) {
        self.host.control_plane.until_event(&signed.rollout_id, kind).await;
    }

    /// What the service has said.
    fn journal(&self) -> String {
        run(self.machine.command("journalctl").args(["--no-pager", "-u", UNIT]))
    }

    fn starts(&self) -> Vec<String> {
        let starts = fs::read_to_string(self.root("/starts")).unwrap();
        starts.lines().map(str::to_owned).collect()
    }

    fn installed_version(&self) -> String {
        let mut dpkg = self.machine.command("dpkg-query");
        run(dpkg.args(["-W", "-f", "${Version}", "wavegate-agent"]))
    }

    async fn until_another_heartbeat(&self) {
        let seen = self.host.control_plane.world().heartbeats.len();
        let came = |world: &World| world.heartbeats.len() > seen + 1;
        self.host.control_plane.until("a heartbeat", came).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_as_a_service_it_is_updated_by_its_package_and_comes_back_from_a_bad_one() {
    let Some(this) = Installed::new("updated").await else { return };
    let service = this.machine.show(UNIT, "MainPID");
    let updated = this.dispatch(1, "2.0");
    this.until_event(&updated, "converged").await;
    assert_eq!(this.starts(), ["1.0", "2.0"]);
    assert_eq!(this.installed_version(), "2.0");
    let journal = this.host.control_plane.journal(&updated.rollout_id);
    assert_eq!(journal.event("activation_complete")["changed"], true, "by the one before it");

    let bad = this.dispatch(2, "3.0");
    this.until_event(&bad, "rollback_complete").await;
    let journal = this.host.control_plane.journal(&bad.rollout_id);
    let failure = journal.event("activation_failed");
    assert_eq!(
        (&failure["class"], &failure["reason"]),
        (&json!("artifact"), &json!("agent-fell-back"))
    );
    assert_eq!(journal.record.map(|record| record.state), Some(HostState::Reverted));
    assert_eq!(this.starts(), ["1.0", "2.0", "3.0", "3.0", "3.0", "2.0"]);
    assert_eq!(this.installed_version(), "2.0", "the package too");
    assert_eq!(
        fs::read_to_string(this.root("/etc/hello")).unwrap(),
        "1",
        "and the rest of the closure"
    );
    assert_eq!(this.machine.show(UNIT, "MainPID"), service, "systemd has seen nothing of it");
    assert_eq!(this.machine.show(UNIT, "NRestarts"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_service_that_is_killed_is_started_again_and_stops_in_order() {
    let Some(this) = Installed::new("killed").await else { return };
    // Its supervisor alone: systemd takes the agent that is left with it.
    let restarts = || this.machine.show(UNIT, "NRestarts").parse::<u32>().unwrap();
    for whom in ["main", "all"] {
        let before = restarts();
        this.machine.systemctl(&["kill", "--signal=KILL", "--kill-whom", whom, UNIT]);
        until("it is started again", || (restarts() > before).then_some(()));
        this.until_another_heartbeat().await;
    }
    this.machine.systemctl(&["stop", UNIT]);
    let ended = ["Result", "ExecMainStatus"].map(|property| this.machine.show(UNIT, property));
    assert_eq!(ended, ["success", "0"], "{}", this.journal());
}

/// An agent whose supervisor was killed holds the state folder for as long as it lives: the service waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a4_a_service_whose_state_is_held_is_not_given_up_on() {
    let Some(this) = Installed::new("held").await else { return };
    this.machine.systemctl(&["stop", UNIT]);
    let state = this.root("/var/lib/wavegate-agent");
    let lock = fs::File::open(state.join("agent.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    this.machine.systemctl(&["start", UNIT]);
    let restarts = || this.machine.show(UNIT, "NRestarts").parse::<u32>().unwrap();
    until("it has tried twice", || (restarts() >= 2).then_some(()));
    let said = this.journal();
    assert!(said.contains("another agent is using it"), "{said}");
    drop(lock);
    this.until_another_heartbeat().await;
}
