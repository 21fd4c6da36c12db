//! Units on a real systemd, booted in a container of its own.
//!
//! Needs root, `systemd-nspawn`, and a small system in `target/systemd-root`, which `.ci/systemd-root` makes.
//! Where these are missing, the tests say so and end; with `WAVEGATE_REAL_SYSTEMD=required`, as in CI, they fail.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use wavegate_agent::resources::drift::Correction;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation};

use crate::world::{World, complete, failure};

/// A container in which systemd runs as process 1.
pub(crate) struct Machine {
    nspawn: Child,
    pub(crate) leader: String,
    folder: PathBuf,
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
    /// A host whose root is the container's, and the container. `None`: not on this machine.
    pub(crate) fn boot(name: &str) -> Option<(World, Self)> {
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
        let nspawn = Command::new("systemd-nspawn")
            .args(["--register=no", "--keep-unit", "--private-network", "-q", "-b", "-M"])
            .arg(format!("wg-{name}-{}", std::process::id()))
            .arg("-D")
            .arg(path.join("root"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut machine = Self { nspawn, leader: String::new(), folder: path };
        // The first child of nspawn is not yet the one that becomes process 1.
        until("the bus", || {
            let children = std::fs::read_to_string(machine.children()).unwrap();
            machine.leader = children.split_whitespace().next()?.to_owned();
            Path::new(machine.bus().trim_start_matches("unix:path=")).exists().then_some(())
        });
        let bus = machine.bus();
        until("a running system", || {
            let state = machine.systemctl(&["is-system-running"]);
            matches!(state.trim(), "running" | "degraded").then_some(())
        });
        Some((World::with_systemd(folder, &bus), machine))
    }

    /// Where the kernel lists what nspawn has started.
    fn children(&self) -> String {
        format!("/proc/{0}/task/{0}/children", self.nspawn.id())
    }

    pub(crate) fn bus(&self) -> String {
        format!("unix:path=/proc/{}/root/run/dbus/system_bus_socket", self.leader)
    }

    pub(crate) fn systemctl(&self, words: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.leader, "-a", "systemctl"]).args(words);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
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
        for mounted in ["root", "layers"] {
            let _gone = Command::new("umount").arg("-l").arg(self.folder.join(mounted)).status();
        }
    }
}

const UNIT: &str =
    "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

fn app(conf: &str) -> Value {
    json!([
        {"id": "conf", "kind": "file", "path": "/etc/app.conf", "content": conf},
        {"id": "app", "kind": "systemd-unit", "name": "app.service", "content": UNIT, "enabled": true,
         "state": "active", "restart_on": ["conf"],
         "drop_ins": {"10-env.conf": "[Service]\nEnvironment=STAGE=2\n"}},
    ])
}

/// The files that are anybody's to configure.
fn configured(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = world.path("/etc/systemd/system");
    let tree = world.tree();
    let below = tree.into_iter().filter(|(path, _)| path.starts_with(&folder));
    below.map(|(path, (_, _, _, content))| (path, content)).collect()
}

fn id(text: &str) -> ResourceId {
    ResourceId::new(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_started_kept_restarted_for_its_files_and_taken_away() {
    let Some((world, machine)) = Machine::boot("app") else { return };
    let before = configured(&world);
    assert_eq!(world.activate(app("1")).await, complete(true));
    assert_eq!(machine.systemctl(&["is-enabled", "app.service"]).trim(), "enabled");
    assert_eq!(machine.show("app.service", "Environment"), "STAGE=2");
    let first = machine.show("app.service", "MainPID");
    assert_ne!(first, "0");
    assert_eq!(world.status("app").detail["active"], "active");
    assert_eq!(world.activate(app("1")).await, complete(false));
    assert_eq!(
        machine.show("app.service", "MainPID"),
        first,
        "nothing differs, so it is left running"
    );

    assert_eq!(world.activate(app("2")).await, complete(true));
    let second = machine.show("app.service", "MainPID");
    assert_ne!(second, first, "what it follows has changed");
    let mut without = app("2");
    without[1]["drop_ins"] = json!({});
    assert_eq!(world.activate(without).await, complete(true));
    assert_eq!(machine.show("app.service", "Environment"), "");
    assert_ne!(machine.show("app.service", "MainPID"), second);

    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(machine.show("app.service", "ActiveState"), "inactive");
    assert_eq!(machine.show("app.service", "LoadState"), "not-found");
    assert_eq!(configured(&world), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_a_unit_is_found_and_put_right() {
    let Some((world, machine)) = Machine::boot("drift") else { return };
    assert_eq!(world.activate(app("1")).await, complete(true));
    let (_, bundle) = world.bundle(app("1"));
    for (words, key) in
        [(["stop", "app.service"], "state"), (["disable", "app.service"], "enabled")]
    {
        machine.systemctl(&words);
        let findings = world.activator.observe_all(&bundle).await;
        assert_eq!(findings[&id("app")].drift(), Some(Drift::Changed), "{key}");
        let planned = world.activator.plan(&bundle, None).await.unwrap();
        let differs = &planned.iter().find(|one| one.id == id("app")).unwrap().differs;
        assert!(differs.iter().any(|one| one.key == key), "{differs:?}");
        let corrections = world.activator.correct(&bundle, &findings).await.unwrap();
        let updated = Correction::Corrected { operation: Operation::Update };
        assert_eq!(corrections[&id("app")], updated);
    }
    assert_eq!(machine.systemctl(&["is-enabled", "app.service"]).trim(), "enabled");
    assert_eq!(machine.show("app.service", "ActiveState"), "active");
    assert_eq!(world.activate(app("1")).await, complete(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_was_there_comes_back_as_it_was() {
    let Some((world, machine)) = Machine::boot("old") else { return };
    world.write("/etc/systemd/system/old.service", UNIT, 0o644);
    machine.systemctl(&["daemon-reload"]);
    machine.systemctl(&["enable", "--now", "old.service"]);
    assert_eq!(machine.show("old.service", "ActiveState"), "active");
    let before = configured(&world);
    let ours = UNIT.replace("infinity", "100000");
    let stopped = json!([{"id": "old", "kind": "systemd-unit", "name": "old.service", "content": ours,
        "enabled": false, "state": "inactive"}]);
    assert_eq!(world.activate(stopped.clone()).await, complete(true));
    assert_eq!(machine.show("old.service", "ActiveState"), "inactive");
    assert_eq!(machine.systemctl(&["is-enabled", "old.service"]).trim(), "disabled");
    assert_eq!(world.activate(stopped).await, complete(false));
    let world = world.restart_with_systemd(&machine.bus());
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(machine.show("old.service", "ActiveState"), "active");
    assert_eq!(machine.systemctl(&["is-enabled", "old.service"]).trim(), "enabled");
    assert_eq!(configured(&world), before);

    let broken = json!([{"id": "bad", "kind": "systemd-unit", "name": "bad.service", "state": "active",
        "content": "[Service]\nType=oneshot\nExecStart=/bin/false\n"}]);
    let outcome = world.activate(broken).await;
    assert_eq!(failure(&outcome), ("unit-failed".to_owned(), true));
    assert!(world.status("bad").error.unwrap().contains("journalctl -u bad.service"));
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(configured(&world), before);
}

#[tokio::test]
async fn another_root_has_no_systemd_unless_it_is_named() {
    let world = World::new();
    let before = world.tree();
    let outcome = world.activate(app("1")).await;
    assert_eq!(failure(&outcome).0, "no-systemd");
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(world.tree(), before, "the machine's own systemd was not asked");
}
