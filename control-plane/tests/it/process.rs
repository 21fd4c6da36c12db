//! The binary: its first lines, its exit codes, its end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::select;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use wavegate_control_plane::server::tls::install_crypto_provider;

use crate::fleet::{Plan, TestFleet};
use crate::running::{client, heartbeat, source, write_files};
use crate::store::make_newer;

struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already in most tests.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn files() -> (TempDir, TestFleet) {
    install_crypto_provider();
    let (dir, fleet) = (tempfile::tempdir().unwrap(), TestFleet::new());
    write_files(dir.path(), &fleet);
    (dir, fleet)
}

fn command(dir: &Path, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate-cp"));
    command.arg("serve").args(["--state-dir", "state", "--trust", "trust.json"]);
    // Long heartbeats: dispatching waits for hosts that never report.
    command.args(["--tls-cert", "cp.pem", "--tls-key", "cp.key", "--heartbeat-secs", "60"]);
    command.args(extra).current_dir(dir).stdin(Stdio::null()).stderr(Stdio::piped());
    command.stdout(Stdio::piped());
    command
}

fn start(dir: &Path, extra: &[&str]) -> Process {
    let listen = ["--listen", "127.0.0.1:0"];
    let mut child = command(dir, &[&listen[..], extra].concat()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening ").unwrap_or_else(|| {
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        panic!("first line {line:?}: {stderr}")
    });
    Process { url: url.to_owned(), child, stdout }
}

impl Process {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its exit code, within the 25 s a stop may take.
    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(26);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn refused(output: &Output, code: i32, text: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains("error: failed to") && stderr.contains(text), "{stderr}");
    assert_eq!(output.stdout, b"", "stdout is for the listening lines");
}

/// D8: a service stop, too, ends in order: parked polls are answered, what was accepted is committed.
#[tokio::test(flavor = "multi_thread")]
async fn d8_sigterm_answers_parked_polls_commits_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (dir, fleet) = files();
        fleet.write_release(&source(dir.path()), &Plan::new(1, "r1"));
        let mut process = start(dir.path(), &["--release-source", "source", "--poll-secs", "1"]);
        let certificate = fleet.authority.issue(&["spiffe://demo/host/host-01"]);
        let host = client(&fleet.authority, Some(&certificate));
        let url = process.url.clone();
        let beat = || host.post(format!("{url}/v1/agent/heartbeat")).json(&heartbeat()).send();
        let deadline = Instant::now() + Duration::from_secs(10);
        while beat().await.unwrap().status() != 200 {
            assert!(Instant::now() < deadline, "no release");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let poll = || Box::pin(host.get(format!("{url}/v1/agent/dispatch?wait_secs=60")).send());
        // The second poll of a host ends the first: when one comes back, the other is parked.
        let (ended, parked) = select(poll(), poll()).await.factor_first();
        assert_eq!(ended.unwrap().status(), 204);
        process.signal(signal);
        assert_eq!(parked.await.unwrap().status(), 204);
        assert_eq!(process.exit_code(), Some(0));
        let state = dir.path().join("state");
        let report =
            wavegate_control_plane::store::check::check(&state.join("wavegate.db")).unwrap();
        assert!(report.rows >= 2 && report.findings.is_empty(), "{report:?}");
        // Checkpointed: nothing is left in the write-ahead log.
        let wal = std::fs::metadata(state.join("wavegate.db-wal")).map_or(0, |file| file.len());
        assert_eq!(wal, 0);
    }
}

/// Memory may not run ahead of the disk: the process stops when a commit fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_exits_6_and_acknowledges_nothing() {
    let (dir, fleet) = files();
    let mut process = start(dir.path(), &["--release-source", "source"]);
    let certificate = fleet.authority.issue(&["spiffe://demo/viewer/bob"]);
    let viewer = client(&fleet.authority, Some(&certificate));
    let status = viewer.get(format!("{}/v1/status", process.url)).send().await.unwrap();
    let last = status.json::<Value>().await.unwrap()["log"]["last_seq"].as_i64().unwrap();
    // Somebody else takes the place of the next row.
    let connection = rusqlite::Connection::open(dir.path().join("state/wavegate.db")).unwrap();
    let sql = "INSERT INTO event_log VALUES (?1, '', NULL, NULL, 'x', 'x', 0, '{}', zeroblob(32))";
    connection.execute(sql, [last + 1]).unwrap();
    fleet.write_release(&source(dir.path()), &Plan::new(1, "r1"));
    process.signal(Signal::HUP);
    assert_eq!(process.exit_code(), Some(6));
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM releases", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn the_listening_lines_are_all_that_stdout_carries() {
    let (dir, _fleet) = files();
    let mut process = start(dir.path(), &["--status-listen", "127.0.0.1:0"]);
    assert!(process.url.starts_with("https://127.0.0.1:"), "{}", process.url);
    let mut line = String::new();
    process.stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("status http://127.0.0.1:"), "{line}");
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(), Some(0));
    let mut rest = String::new();
    process.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn an_address_in_use_exits_4() {
    let (dir, _fleet) = files();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(dir.path(), &["--listen", &address]).output().unwrap();
    refused(&output, 4, &address);
}

#[test]
fn a_second_process_on_the_same_state_exits_5() {
    let (dir, _fleet) = files();
    let _first = start(dir.path(), &[]);
    let output = command(dir.path(), &["--listen", "127.0.0.1:0"]).output().unwrap();
    refused(&output, 5, "another control plane");
}

#[test]
fn a_state_folder_of_a_newer_version_exits_5_and_stays_as_it_is() {
    let (dir, _fleet) = files();
    let mut process = start(dir.path(), &[]);
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(), Some(0));
    let database = dir.path().join("state/wavegate.db");
    make_newer(&database);
    let before = std::fs::read(&database).unwrap();
    let output = command(dir.path(), &["--listen", "127.0.0.1:0"]).output().unwrap();
    refused(&output, 5, "version 999");
    assert_eq!(std::fs::read(&database).unwrap(), before);
    let output = check(dir.path());
    refused(&output, 5, "version 999");
}

#[test]
fn o5_a_misspelt_key_exits_2_with_a_suggestion() {
    let (dir, _fleet) = files();
    std::fs::write(dir.path().join("cp.toml"), "heartbeat_sec = 5\n").unwrap();
    let output = command(dir.path(), &["--config", "cp.toml"]).output().unwrap();
    refused(&output, 2, "did you mean \"heartbeat_secs\"");
}

fn check(dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate-cp"));
    command.args(["check", "--state-dir", "state", "--trust", "trust.json"]);
    command.current_dir(dir).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_is_wrong_in_each_part() {
    let (dir, fleet) = files();
    let plan = Plan::new(1, "r1");
    fleet.write_release(&source(dir.path()), &plan);
    let mut process = start(dir.path(), &["--release-source", "source", "--poll-secs", "1"]);
    let certificate = fleet.authority.issue(&["spiffe://demo/viewer/bob"]);
    let viewer = client(&fleet.authority, Some(&certificate));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let status = viewer.get(format!("{}/v1/status", process.url)).send().await.unwrap();
        if status.json::<Value>().await.unwrap()["serial"] == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "no release");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(), Some(0));

    let good = check(dir.path());
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    assert_eq!(good.status.code(), Some(0), "{text}");
    assert!(
        text.contains("release: ok (serial 1)") && text.contains("blobs: ok (2 files)"),
        "{text}"
    );

    let state = dir.path().join("state");
    std::fs::write(state.join("blobs").join(plan.asset_id().file_name()), "rotten").unwrap();
    let header = state.join("release/rollouts/stable@r1.json");
    let bytes = std::fs::read(&header).unwrap();
    let found = |expected: &str| {
        let bad = check(dir.path());
        let text = String::from_utf8_lossy(&bad.stdout).into_owned();
        assert_eq!(bad.status.code(), Some(1), "{text}");
        assert!(text.contains(expected), "{text}");
    };
    found("its bytes are");
    std::fs::write(
        &header,
        String::from_utf8(bytes).unwrap().replace("\"host_count\":2", "\"host_count\":1"),
    )
    .unwrap();
    found("signature-threshold");
    let connection = rusqlite::Connection::open(state.join("wavegate.db")).unwrap();
    connection.execute("UPDATE event_log SET actor = 'x' WHERE seq = 1", []).unwrap();
    found("log row 1");
}
