//! The real binary: killed in the middle, stopped, started twice, started on files it must not touch.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wavegate_agent::journal::JOURNAL_FILE;
use wavegate_proto::record::HostState;

use super::agent::Host;
use super::control_plane::World;
use super::happy::bundle;
use super::release::Release;

const STATE_UNUSABLE: i32 = 5;

/// As [`bundle`], with a gate that waits until `/etc/go` is there.
fn gated_bundle() -> Value {
    let mut bundle = bundle("one", "one");
    bundle["resources"][0]["health_gate"] = json!({
        "kind": "exec", "argv": ["/bin/sh", "-c", "test -e \"$WAVEGATE_ROOT/etc/go\""],
        "user": "root", "env": {}, "expect_exit": 0, "retries": 20, "timeout_secs": 20,
    });
    bundle
}

fn kill(mut agent: Child) {
    agent.kill().unwrap();
    assert_eq!(agent.wait().unwrap().signal(), Some(9));
}

/// Sends SIGTERM and waits for the end.
fn terminate(mut agent: Child) -> ExitStatus {
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    agent.wait().unwrap()
}

async fn until_file(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < deadline, "never: {}", path.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A small host, or a container: the authority of the control plane is given, and no other is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_certificate_authorities_of_its_own_is_served() {
    let host = Host::new().await;
    let log = std::fs::File::create(host.path("agent.log")).unwrap();
    let mut command = host.command();
    command.env("SSL_CERT_FILE", host.path("none.pem")).env("SSL_CERT_DIR", host.path("none"));
    let agent = command.stderr(log).spawn().unwrap();
    let signed = Release::new(1, bundle("one", "one")).sign();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    kill(agent);
    let log = std::fs::read_to_string(host.path("agent.log")).unwrap();
    assert!(log.contains("knows no certificate authorities"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_killed_in_the_middle_of_an_activation_it_goes_on() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let signed = Release::new(1, gated_bundle()).sign();
    control_plane.dispatch(&signed);
    let agent = host.spawn();
    control_plane.until_event(&signed.rollout_id, "activation_started").await;
    until_file(&host.root().join("etc/hello")).await;
    kill(agent);
    assert_eq!(host.current(), None, "not complete when it was killed");

    std::fs::write(host.root().join("etc/go"), "").unwrap();
    let agent = host.spawn();
    control_plane.until_event(&signed.rollout_id, "converged").await;
    assert_eq!(host.current(), Some(signed.closure.clone()));
    let journal = control_plane.journal(&signed.rollout_id);
    for once in ["dispatch_ack", "activation_started", "activation_complete", "converged"] {
        let count = journal.kinds().iter().filter(|kind| **kind == once).count();
        assert_eq!(count, 1, "{once} in {:?}", journal.kinds());
    }
    assert_eq!(control_plane.world().dispatches_served, 1);
    assert!(terminate(agent).success());
}

/// Killed at any moment, the host comes to the end it should: converged, or, when the kill fell between
/// an accepted acknowledgement and the start, an honest `lease-lapsed` that is dispatched again (G4).
#[tokio::test(flavor = "multi_thread")]
async fn a4_killed_at_random_moments_it_comes_to_the_right_end() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let signed = Release { soak_secs: 2, ..Release::new(1, bundle("one", "one")) }.sign();
    let record = || control_plane.journal(&signed.rollout_id).record;
    let state = || record().map(|record| record.state);
    control_plane.dispatch(&signed);
    let mut random = fastrand::Rng::with_seed(4);
    let mut attempt = 1;
    for _ in 0..12 {
        let agent = host.spawn();
        tokio::time::sleep(Duration::from_millis(random.u64(5..350))).await;
        kill(agent);
        if state() == Some(HostState::Failed) {
            attempt += 1;
            control_plane.dispatch_again(&signed, attempt);
        }
    }
    let agent = host.spawn();
    let settled = |world: &World| {
        let record = world.journals.get(&signed.rollout_id).and_then(|j| j.record.as_ref());
        record.is_some_and(|r| matches!(r.state, HostState::Converged | HostState::Failed))
    };
    control_plane.until("converged, or lapsed", settled).await;
    if state() == Some(HostState::Failed) {
        assert_eq!(record().unwrap().failure.unwrap().reason, "lease-lapsed");
        control_plane.dispatch_again(&signed, attempt + 1);
        control_plane.until_event(&signed.rollout_id, "converged").await;
    }
    assert_eq!(host.file("etc/hello").as_deref(), Some("one"));
    assert_eq!(host.current(), Some(signed.closure.clone()));
    kill(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_on_during_a_long_activation() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let agent = host.start();
    let signed = Release::new(1, gated_bundle()).sign();
    control_plane.dispatch(&signed);
    until_file(&host.root().join("etc/hello")).await;
    let seen = control_plane.world().heartbeats.len();
    control_plane.until("more heartbeats", |w| w.heartbeats.len() > seen + 2).await;
    assert!(!control_plane.journal(&signed.rollout_id).has("activation_complete"));
    std::fs::write(host.root().join("etc/go"), "").unwrap();
    control_plane.until_event(&signed.rollout_id, "activation_complete").await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_soaking_it_converges_without_activating_again() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let release = Release { soak_secs: 3, ..Release::new(1, bundle("one", "one")) };
    let signed = release.sign();
    control_plane.dispatch(&signed);
    let agent = host.spawn();
    control_plane.until_event(&signed.rollout_id, "activation_complete").await;
    kill(agent);
    std::fs::remove_file(host.state_dir().join("state.json")).ok();
    let agent = host.spawn();
    control_plane.until_event(&signed.rollout_id, "converged").await;
    let kinds = control_plane.journal(&signed.rollout_id);
    assert_eq!(kinds.kinds().iter().filter(|k| **k == "activation_started").count(), 1);
    assert!(terminate(agent).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn d8_a_service_stop_ends_cleanly_and_soon() {
    let host = Host::new().await;
    let agent = host.spawn();
    let seen = |world: &World| !world.heartbeats.is_empty();
    host.control_plane.until("a heartbeat", seen).await;
    let asked = Instant::now();
    assert_eq!(terminate(agent).code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(4), "took {:?}", asked.elapsed());
    assert!(host.state_dir().join("state.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_on_the_same_state_folder_is_locked_out() {
    let host = Host::new().await;
    let agent = host.spawn();
    let seen = |world: &World| !world.heartbeats.is_empty();
    host.control_plane.until("a heartbeat", seen).await;
    let second = host.command().output().unwrap();
    assert_eq!(second.status.code(), Some(STATE_UNUSABLE));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another agent"));
    assert!(terminate(agent).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_a_newer_version_is_refused_and_not_touched() {
    let host = Host::new().await;
    terminate_after_start(&host).await;
    let snapshot = host.state_dir().join("state.json");
    let text = r#"{"schema_version":2,"shape":"unknown"}"#;
    let kept = std::fs::read(&snapshot).unwrap();
    std::fs::write(&snapshot, text).unwrap();
    let refused = host.command().output().unwrap();
    assert_eq!(refused.status.code(), Some(STATE_UNUSABLE));
    assert_eq!(std::fs::read_to_string(&snapshot).unwrap(), text);
    std::fs::write(&snapshot, kept).unwrap();

    let journal = host.state_dir().join(JOURNAL_FILE);
    let db = rusqlite::Connection::open(&journal).unwrap();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    db.execute(newer, []).unwrap();
    drop(db);
    let before = std::fs::read(&journal).unwrap();
    let refused = host.command().output().unwrap();
    assert_eq!(refused.status.code(), Some(STATE_UNUSABLE));
    assert_eq!(std::fs::read(&journal).unwrap(), before);
}

async fn terminate_after_start(host: &Host) {
    let agent = host.spawn();
    let seen = |world: &World| !world.heartbeats.is_empty();
    host.control_plane.until("a heartbeat", seen).await;
    assert!(terminate(agent).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_fleet_is_a_usage_error() {
    let host = Host::new().await;
    let trust = std::fs::read_to_string(host.path("trust.json")).unwrap();
    std::fs::write(host.path("trust.json"), trust.replace("\"demo\"", "\"other\"")).unwrap();
    let refused = host.command().output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!host.state_dir().exists(), "nothing is made before the settings are right");
}
