//! A small fleet of real processes: a control plane, agents, the operator's tool.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use wavegate_tests::processes::program::{Process, program, wavegate};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fleet of two hosts in a folder, its control plane running.
pub(crate) struct Yard {
    pub(crate) dir: TempDir,
    /// `https://localhost:…`
    pub(crate) url: String,
    control_plane: Process,
}

/// What must be the same before and after something was refused.
#[derive(Debug, PartialEq)]
pub(crate) struct Picture {
    serial: Value,
    rollouts: Vec<(Value, Value)>,
    hosts: Vec<(Value, Value, Value)>,
    quarantines: Value,
    /// Path, identity and content of the adopted release's files and of the host's.
    files: BTreeMap<PathBuf, (u64, Vec<u8>)>,
}

impl Yard {
    /// Makes the fleet and starts its control plane.
    pub(crate) fn open() -> Self {
        let dir = tempfile::Builder::new()
            // Checks run as nobody when this is root: they must be able to get in.
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let fleet = dir.path().join("fleet");
        let made = wavegate().args(["init", "--hosts", "2"]).arg(&fleet).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        for folder in ["state", "roots/host-01", "roots/host-02"] {
            std::fs::create_dir_all(fleet.join(folder)).unwrap();
        }
        // Figures of a test: nobody waits for a soak of ten seconds.
        let file = fleet.join("fleet.toml");
        let text = std::fs::read_to_string(&file).unwrap().replace("\"10s\"", "\"1s\"");
        std::fs::write(&file, text.replace("\"5s\"", "\"1s\"")).unwrap();
        let (control_plane, url) = start_control_plane(&fleet);
        Self { dir, url, control_plane }
    }

    /// The control plane is killed and started again. It listens elsewhere then: agents do not find it.
    pub(crate) fn kill_and_restart_control_plane(&mut self) {
        self.control_plane.signal(Signal::KILL);
        self.control_plane.end(PATIENCE);
        (self.control_plane, self.url) = start_control_plane(&self.path(""));
    }

    /// The same with release 1 on both hosts.
    pub(crate) fn with_release() -> (Self, Vec<Process>) {
        let yard = Self::open();
        let agents = vec![yard.start_agent("host-01"), yard.start_agent("host-02")];
        yard.release(1, &[]);
        yard.ok(&["release", "publish", "releases/1"]);
        yard.until_rollout("stable@r1", "terminal");
        (yard, agents)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("fleet").join(name)
    }

    /// Builds and signs release `number`.
    pub(crate) fn release(&self, number: u64, more: &[&str]) {
        let folder = format!("releases/{number}");
        let serial = number.to_string();
        let build = ["release", "build", "fleet.toml", "--out", &folder, "--serial", &serial];
        self.ok(&[&build[..], more].concat());
        self.sign(number);
    }

    pub(crate) fn sign(&self, number: u64) {
        self.ok(&["release", "sign", &format!("releases/{number}"), "--key", "keys/release.key"]);
    }

    /// Makes the next release say something else.
    pub(crate) fn say(&self, words: &str) {
        let bundle = self.path("bundles/app.toml");
        let text = std::fs::read_to_string(&bundle).unwrap();
        let line = text.lines().find(|line| line.starts_with("content")).unwrap().to_owned();
        std::fs::write(&bundle, text.replace(&line, &format!("content = \"hello {words}\\n\"")))
            .unwrap();
    }

    /// `wavegate` as the operator.
    pub(crate) fn wavegate(&self, arguments: &[&str]) -> Output {
        self.wavegate_as("operator-admin", arguments)
    }

    /// `wavegate` with the certificate of that name.
    pub(crate) fn wavegate_as(&self, certificate: &str, arguments: &[&str]) -> Output {
        wavegate()
            .args(arguments)
            .current_dir(self.path(""))
            .env("WAVEGATE_URL", &self.url)
            .env("WAVEGATE_CA", "ca/ca.pem")
            .env("WAVEGATE_CERT", format!("certs/{certificate}.pem"))
            .env("WAVEGATE_KEY", format!("certs/{certificate}.key"))
            .output()
            .unwrap()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.wavegate(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `wavegate` and expects it to end with `code` and to say `text` in its `error:` line.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], code: i32, text: &str) {
        refusal(&self.wavegate(arguments), code, text);
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn until_rollout(&self, id: &str, state: &str) {
        let is = || self.json(&["rollout", "show", id])["state"] == state;
        self.until(&format!("{id} is {state}"), is);
    }

    /// The agent of a host, as a command to start.
    pub(crate) fn agent(&self, host: &str) -> Command {
        self.agent_of(host, &format!("state/{host}"), "ca/ca.pem")
    }

    /// The same with another state folder, trusting another authority.
    pub(crate) fn agent_of(&self, host: &str, state: &str, ca: &str) -> Command {
        let mut command = program("wavegate-agent");
        command.arg("run").arg("--url").arg(&self.url).current_dir(self.path(""));
        for (flag, path) in [
            ("--state-dir", state.to_owned()),
            ("--root", format!("roots/{host}")),
            ("--trust", "trust.json".to_owned()),
            ("--ca", ca.to_owned()),
            ("--cert", format!("certs/host-{host}.pem")),
            ("--key", format!("certs/host-{host}.key")),
        ] {
            command.arg(flag).arg(self.path(&path));
        }
        let log = std::fs::File::create(self.path(&format!("{host}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    pub(crate) fn start_agent(&self, host: &str) -> Process {
        Process::start(host, &mut self.agent(host))
    }

    pub(crate) fn log(&self, host: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{host}.log"))).unwrap()
    }

    pub(crate) fn file(&self, host: &str) -> Option<String> {
        std::fs::read_to_string(self.path(&format!("roots/{host}/etc/wavegate-hello"))).ok()
    }

    pub(crate) fn picture(&self) -> Picture {
        let items = |value: Value| value.as_array().unwrap().clone();
        let mut files = BTreeMap::new();
        for folder in ["state/control-plane/release", "roots"] {
            for entry in walkdir::WalkDir::new(self.path(folder)) {
                let entry = entry.unwrap();
                if entry.file_type().is_file() {
                    let content = std::fs::read(entry.path()).unwrap();
                    let inode = entry.metadata().unwrap().ino();
                    files.insert(entry.path().to_owned(), (inode, content));
                }
            }
        }
        Picture {
            serial: self.json(&["status"])["serial"].clone(),
            rollouts: items(self.json(&["rollout", "list"]))
                .iter()
                .map(|rollout| (rollout["rollout_id"].clone(), rollout["state"].clone()))
                .collect(),
            hosts: items(self.json(&["hosts"]))
                .iter()
                .map(|h| (h["host"].clone(), h["state"].clone(), h["current_closure"].clone()))
                .collect(),
            quarantines: self.json(&["quarantine", "list"]),
            files,
        }
    }
}

/// Expects `output` to be that of a command that ended with `code`, saying `text`.
#[track_caller]
pub(crate) fn refusal(output: &Output, code: i32, text: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains("error: ") && stderr.contains(text), "no {text:?} in: {stderr}");
}

/// `wavegate-cp serve` in the fleet's folder, on any port.
pub(crate) fn control_plane(fleet: &Path, state: &str, listen: &str) -> Command {
    let mut command = program("wavegate-cp");
    command.args(["serve", "--listen", listen, "--state-dir", state, "--trust", "trust.json"]);
    command.args(["--tls-cert", "certs/control-plane.pem", "--heartbeat-secs", "1"]);
    command.args(["--tls-key", "certs/control-plane.key", "--client-ca", "ca/ca.pem"]);
    command.current_dir(fleet).stdin(Stdio::null());
    command
}

fn start_control_plane(fleet: &Path) -> (Process, String) {
    let log = std::fs::File::create(fleet.join("control-plane.log")).unwrap();
    let mut command = control_plane(fleet, "state/control-plane", "127.0.0.1:0");
    let mut process =
        Process::start("the control plane", command.stdout(Stdio::piped()).stderr(log));
    let mut line = String::new();
    BufReader::new(process.stdout()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening ").expect("the control plane did not start");
    (process, url.replace("127.0.0.1", "localhost"))
}
