//! The control plane: started, killed, started again at the same addresses.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use super::folder::Folder;
use super::program::{Process, wavegate};
use super::reader::Reader;
use super::wait::until;

/// How often agents send heartbeats, in seconds.
pub const HEARTBEAT_SECS: u64 = 1;

/// A stop in order takes at most this long.
const STOP: Duration = Duration::from_secs(26);

/// Another process may have the port for a moment: while nobody listens there, the kernel gives it to
/// outgoing connections, such as those of the agents.
const PORT_PATIENCE: Duration = Duration::from_secs(30);

/// How it is started.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// How often agents are to send heartbeats, in seconds.
    pub heartbeat_secs: u64,
    /// For how long it issues certificates of hosts, such as `30s`; not at all by default.
    pub host_cert_ttl: Option<&'static str>,
    /// How many connections it takes, of one address too: a swarm is many hosts behind one.
    pub connections: Option<usize>,
}

impl Default for Start {
    fn default() -> Self {
        Self { heartbeat_secs: HEARTBEAT_SECS, host_cert_ttl: None, connections: None }
    }
}

/// A control plane that can be killed.
pub struct ControlPlane<'a> {
    folder: &'a Folder,
    how: Start,
    process: Option<Process>,
    /// `https://127.0.0.1:…`
    pub url: String,
    /// `http://127.0.0.1:…`
    pub status_url: String,
}

impl<'a> ControlPlane<'a> {
    /// Starts one at ports that the kernel chooses.
    pub fn start(folder: &'a Folder) -> Self {
        Self::start_as(folder, Start::default())
    }

    /// The same, issuing certificates of hosts for so long.
    pub fn start_issuing(folder: &'a Folder, host_cert_ttl: &'static str) -> Self {
        Self::start_as(folder, Start { host_cert_ttl: Some(host_cert_ttl), ..Start::default() })
    }

    /// The same, as it is said.
    pub fn start_as(folder: &'a Folder, how: Start) -> Self {
        let (process, url, status_url) = launch(folder, how, "127.0.0.1:0", "127.0.0.1:0").unwrap();
        Self { folder, how, process: Some(process), url, status_url }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub fn kill_9(&mut self) {
        self.process.take().unwrap().kill_9();
    }

    /// Starts it where it was.
    pub fn start_again(&mut self) {
        let (listen, status) = (authority(&self.url), authority(&self.status_url));
        let launch = || launch(self.folder, self.how, listen, status);
        self.process = Some(until("the control plane to listen again", PORT_PATIENCE, launch).0);
    }

    /// SIGHUP: it looks at its files at once.
    pub fn look_again(&self) {
        self.process.as_ref().unwrap().signal(Signal::HUP);
    }

    /// SIGTERM; it ends in order.
    pub fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal(Signal::TERM);
        assert_eq!(process.end(STOP).code(), Some(0), "a stop in order");
    }

    /// The log verifies, and gives every derived table as it stands; while it runs.
    pub fn check_log(&self) {
        let into = self.folder.path("rebuilt.db");
        let mut rebuild = wavegate();
        rebuild.args(["cp", "rebuild", "--state-dir"]).arg(self.folder.control_plane_state());
        expect_fine(rebuild.arg("--into").arg(&into));
        fs::remove_file(&into).unwrap();
        expect_fine(wavegate().args(["log", "verify", "--url", &self.status_url]));
    }

    pub fn reader(&self) -> Reader {
        Reader::new(&self.status_url)
    }

    /// Publishes release `number`.
    pub fn publish(&self, number: u64) {
        let output = self.folder.publish(number, &self.url);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn launch(
    folder: &Folder,
    how: Start,
    listen: &str,
    status: &str,
) -> Result<(Process, String, String), String> {
    let log = folder.path("logs/control-plane.log");
    let said = File::options().create(true).append(true).open(&log).unwrap();
    let mut command = wavegate();
    command.args(["cp", "serve", "--listen", listen, "--status-listen", status]);
    command.args(["--heartbeat-secs", &how.heartbeat_secs.to_string()]);
    if let Some(connections) = how.connections {
        command.args(["--connections", &connections.to_string(), "--connections-per-address", "0"]);
    }
    command.arg("--state-dir").arg(folder.control_plane_state());
    for (flag, file) in [
        ("--trust", "trust.json"),
        ("--tls-cert", "certs/control-plane.pem"),
        ("--tls-key", "certs/control-plane.key"),
    ] {
        command.arg(flag).arg(folder.path(file));
    }
    if let Some(ttl) = how.host_cert_ttl {
        command.arg("--issuer-cert").arg(folder.path("certs/issuer.pem"));
        command.arg("--issuer-key").arg(folder.path("certs/issuer.key"));
        command.args(["--host-cert-ttl", ttl]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said);
    let mut process = Process::start("the control plane", &mut command);
    let mut lines = BufReader::new(process.stdout()).lines();
    let mut address = |word: &str| {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let address = line.strip_prefix(word).map(str::to_owned);
        address.ok_or_else(|| fs::read_to_string(&log).unwrap_or_default())
    };
    let (url, status_url) = (address("listening ")?, address("status ")?);
    Ok((process, url, status_url))
}

fn expect_fine(command: &mut std::process::Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// `127.0.0.1:41231` of `https://127.0.0.1:41231`.
fn authority(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

/// Deletes `wavegate.db` and what belongs to it.
pub fn delete_database(state_dir: &Path) {
    let mut deleted = 0;
    for entry in fs::read_dir(state_dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("wavegate.db") {
            fs::remove_file(entry.path()).unwrap();
            deleted += 1;
        }
    }
    assert!(deleted > 0, "there was no database in {}", state_dir.display());
}

/// A copy of the database as a backup tool makes it, also while it is in use.
pub fn back_up_database(state_dir: &Path, to: &Path) {
    let database = rusqlite::Connection::open(state_dir.join("wavegate.db")).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}
