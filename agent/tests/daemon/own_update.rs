//! A4: the agent takes an update of itself, and comes back from a bad one. Real processes under the supervisor of
//! `packaging/systemd`; a version is a small program that becomes the agent, or does not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_proto::record::HostState;

use super::agent::Host;
use super::control_plane::World;
use super::lies::Lie;
use super::release::{Release, Signed};

/// Where a bundle puts the agent.
const PROGRAM: &str = "/usr/local/bin/wavegate-agent";

/// A host whose agent runs under the supervisor; dropped, both are gone.
struct Supervised {
    host: Host,
    supervisor: Option<Child>,
}

/// A version that becomes the agent. Each start of it is noted.
fn good(name: &str) -> String {
    let agent = env!("CARGO_BIN_EXE_wavegate-agent");
    format!("#!/bin/sh\necho {name} >> \"$STATE_DIRECTORY/../starts\"\nexec {agent} \"$@\"\n")
}

/// A version that does this and ends.
fn bad(name: &str, does: &str) -> String {
    format!("#!/bin/sh\necho {name} >> \"$STATE_DIRECTORY/../starts\"\n{does}\nexit 1\n")
}

/// The process that the supervisor waits for.
fn agent_of(supervisor: &Child) -> rustix::process::Pid {
    let children = format!("/proc/{0}/task/{0}/children", supervisor.id());
    let agent = std::fs::read_to_string(children).unwrap();
    agent.trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap()
}

impl Supervised {
    /// Installed by hand, as the first agent of every host is.
    async fn new() -> Self {
        let host = Host::new().await;
        let program = host.root().join(PROGRAM.trim_start_matches('/'));
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, good("one")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut this = Self { host, supervisor: None };
        this.start();
        // It is the one to go back to.
        let proven = this.host.state_dir().join("update/proven");
        this.until("the first agent is proven", |_| proven.exists()).await;
        this
    }

    fn start(&mut self) {
        self.start_by(&mut Command::new("/bin/sh"));
    }

    fn start_by(&mut self, shell: &mut Command) {
        let agent = self.host.command();
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../packaging/systemd/wavegate-agent-supervise");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.host.path("agent.log"))
            .unwrap();
        let supervisor = shell
            .arg(script)
            .arg(self.program())
            .args(agent.get_args())
            .env("STATE_DIRECTORY", self.host.state_dir())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.supervisor = Some(supervisor);
    }

    /// As a service is stopped.
    fn stop(&mut self) -> Option<i32> {
        let mut supervisor = self.supervisor.take()?;
        let pid = rustix::process::Pid::from_child(&supervisor);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        supervisor.wait().unwrap().code()
    }

    fn program(&self) -> PathBuf {
        self.host.root().join(PROGRAM.trim_start_matches('/'))
    }

    /// What was started, oldest first.
    fn starts(&self) -> Vec<String> {
        let starts = std::fs::read_to_string(self.host.path("starts")).unwrap();
        starts.lines().map(str::to_owned).collect()
    }

    /// Publishes a bundle that brings this version of the agent, and something else.
    fn dispatch(&self, serial: u64, version: &str, timeout_secs: u64) -> Signed {
        let asset = version.as_bytes().to_vec();
        let bundle = json!({"schema_version": 1, "resources": [
            {"id": "agent", "kind": "file", "path": PROGRAM, "mode": "0755", "size": asset.len(),
             "asset": wavegate_proto::ids::BlobId::of(&asset).to_string()},
            {"id": "hello", "kind": "file", "path": "/etc/hello", "content": serial.to_string()},
        ]});
        let assets = vec![asset];
        let activation_timeout_secs = timeout_secs;
        let release = Release { assets, activation_timeout_secs, ..Release::new(serial, bundle) };
        let signed = release.sign();
        self.host.control_plane.dispatch(&signed);
        signed
    }

    async fn until(&self, what: &str, condition: impl Fn(&World) -> bool) {
        self.host.control_plane.until(what, condition).await;
    }

    async fn until_event(&self, signed: &Signed, kind: &str) {
        self.host.control_plane.until_event(&signed.rollout_id, kind).await;
    }

    /// The class and reason with which an activation failed, and what is said to a person.
    fn failure(&self, signed: &Signed) -> (Value, Value, String) {
        let event = self.host.control_plane.journal(&signed.rollout_id).event("activation_failed");
        let detail = event["stderr_tail"].as_str().unwrap().to_owned();
        (event["class"].clone(), event["reason"].clone(), detail)
    }

    fn state(&self, signed: &Signed) -> Option<HostState> {
        self.host.control_plane.journal(&signed.rollout_id).record.map(|record| record.state)
    }

    /// How many events of this kind the control plane has of a rollout.
    fn count(&self, signed: &Signed, kind: &str) -> usize {
        let journal = self.host.control_plane.journal(&signed.rollout_id);
        journal.kinds().iter().filter(|known| **known == kind).count()
    }

    async fn until_another_heartbeat(&self) {
        let seen = self.host.control_plane.world().heartbeats.len();
        self.until("a heartbeat", |world| world.heartbeats.len() > seen + 1).await;
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_the_agent_takes_an_update_of_itself_and_the_new_one_reports_the_result() {
    let mut this = Supervised::new().await;
    let signed = this.dispatch(1, &good("two"), 30);
    this.until_event(&signed, "converged").await;
    assert_eq!(this.starts(), ["one", "two"]);
    assert_eq!(std::fs::read_to_string(this.program()).unwrap(), good("two"));
    for once in ["dispatch_ack", "activation_started", "activation_complete", "converged"] {
        assert_eq!(this.count(&signed, once), 1, "{once}");
    }
    let journal = this.host.control_plane.journal(&signed.rollout_id);
    assert_eq!(journal.event("activation_complete")["changed"], true, "by the one before it");
    assert_eq!(this.host.current(), Some(signed.closure.clone()));
    let proven = std::fs::read_to_string(this.host.state_dir().join("update/proven")).unwrap();
    assert_eq!(proven, good("two"), "the one to go back to from now on");

    // What does not bring another agent does not start it again.
    let same = this.dispatch(2, &good("two"), 30);
    this.until_event(&same, "converged").await;
    assert_eq!(this.starts(), ["one", "two"]);
    assert_eq!(tokio::task::block_in_place(|| this.stop()), Some(0), "a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_an_agent_that_does_not_start_is_taken_back_and_the_release_is_to_blame() {
    let this = Supervised::new().await;
    let first = this.dispatch(1, &good("one"), 30);
    this.until_event(&first, "converged").await;
    let bad = this.dispatch(2, &bad("bad", ""), 30);
    this.until_event(&bad, "rollback_complete").await;
    assert_eq!(this.starts(), ["one", "bad", "bad", "bad", "one"]);
    let (class, reason, detail) = this.failure(&bad);
    assert_eq!((class, reason), (json!("artifact"), json!("agent-fell-back")));
    for words in ["ended 3 times", "exit code 1", "the agent before it is back"] {
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(this.state(&bad), Some(HostState::Reverted));
    assert_eq!(this.host.file("etc/hello").as_deref(), Some("1"), "all of the closure is undone");
    assert_eq!(std::fs::read_to_string(this.program()).unwrap(), good("one"));
    assert_eq!(this.host.current(), Some(first.closure.clone()));
    this.until_another_heartbeat().await;
    let rejected = |world: &World| {
        world.heartbeats.last().is_some_and(|h| h.rejected.iter().any(|r| r.closure == bad.closure))
    };
    this.until("the closure is reported as rejected", rejected).await;
    assert_eq!(this.starts().len(), 5, "it keeps running");
    // And takes the next one.
    let fixed = this.dispatch(3, &good("three"), 30);
    this.until_event(&fixed, "converged").await;
    assert_eq!(this.starts().last().unwrap(), "three");
}

/// A newer agent brings its records up to its own version before it fails; the one before could not read them.
#[tokio::test(flavor = "multi_thread")]
async fn a4_the_records_come_back_with_the_agent_that_can_read_them() {
    let this = Supervised::new().await;
    let first = this.dispatch(1, &good("one"), 30);
    this.until_event(&first, "converged").await;
    let migrates =
        "for file in \"$STATE_DIRECTORY\"/*.json \"$STATE_DIRECTORY\"/journal.sqlite*; do
        echo '{\"schema_version\":99}' > \"$file\"; done";
    let bad = this.dispatch(2, &bad("bad", migrates), 30);
    this.until_event(&bad, "rollback_complete").await;
    assert_eq!(this.failure(&bad).1, "agent-fell-back");
    assert_eq!(this.starts(), ["one", "bad", "bad", "bad", "one"]);
    assert_eq!(this.count(&bad, "dispatch_ack"), 1, "the journal is the one there was");
    assert_eq!(this.host.current(), Some(first.closure));
}

/// It runs and nobody is reached: that may be the network. It is taken back, and the closure is not rejected.
#[tokio::test(flavor = "multi_thread")]
async fn a4_an_agent_that_does_not_reach_the_control_plane_goes_back_by_itself() {
    let this = Supervised::new().await;
    let first = this.dispatch(1, &good("one"), 30);
    this.until_event(&first, "converged").await;
    // From the moment on at which everything is in its place.
    let deaf = this.dispatch(2, &good("deaf"), 4);
    let program = this.program();
    this.until("the new agent is there", |_| {
        std::fs::read_to_string(&program).is_ok_and(|text| text == good("deaf"))
    })
    .await;
    this.host.control_plane.lie("heartbeat", Lie::Status(500));
    this.until_event(&deaf, "activation_failed").await;
    let (class, reason, detail) = this.failure(&deaf);
    assert_eq!((class, reason), (json!("host"), json!("agent-unproven")));
    assert!(detail.contains("has not reached the control plane within 4 s"), "{detail}");
    this.host.control_plane.world().lies.clear();
    this.until_event(&deaf, "rollback_complete").await;
    assert_eq!(this.starts(), ["one", "deaf", "one"]);
    assert_eq!(this.count(&deaf, "activation_complete"), 0);
    assert!(this.host.control_plane.world().heartbeats.last().unwrap().rejected.is_empty());
}

/// Stopped and started by a person while it is on trial: that says nothing about the program.
#[tokio::test(flavor = "multi_thread")]
async fn a4_stopping_an_agent_on_trial_does_not_count_against_it() {
    let mut this = Supervised::new().await;
    this.stop();
    this.host.control_plane.lie("heartbeat", Lie::Status(500));
    std::fs::write(this.program(), good("two")).unwrap();
    for times in 1..=5 {
        this.start();
        let log = this.host.path("agent.log");
        this.until("it has started", |_| {
            let text = std::fs::read_to_string(&log).unwrap();
            text.matches("agent started").count() == times + 1
        })
        .await;
        assert_eq!(tokio::task::block_in_place(|| this.stop()), Some(0));
    }
    this.host.control_plane.world().lies.clear();
    this.start();
    this.until_another_heartbeat().await;
    assert_eq!(this.starts(), ["one", "two", "two", "two", "two", "two", "two"]);
    // A crash of one that has proved itself is passed on to systemd.
    let mut supervisor = this.supervisor.take().unwrap();
    let agent = agent_of(&supervisor);
    rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
    assert_eq!(supervisor.wait().unwrap().code(), Some(137));
    assert_eq!(std::fs::read_to_string(this.program()).unwrap(), good("two"));
}

/// systemd tells all processes of a service to stop at once: the supervisor may learn of the agent's end and of the
/// signal to itself in the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn a4_stopped_in_the_moment_the_agent_ends_it_ends_as_the_agent_did() {
    let mut this = Supervised::new().await;
    let mut supervisor = this.supervisor.take().unwrap();
    let pid = rustix::process::Pid::from_child(&supervisor);
    let send = |pid, signal| rustix::process::kill_process(pid, signal).unwrap();
    let agent = agent_of(&supervisor);
    send(pid, rustix::process::Signal::STOP);
    for process in [pid, agent] {
        send(process, rustix::process::Signal::TERM);
    }
    let status = format!("/proc/{}/stat", agent.as_raw_nonzero());
    this.until("the agent's end", |_| std::fs::read_to_string(&status).unwrap().contains(") Z "))
        .await;
    send(pid, rustix::process::Signal::CONT);
    assert_eq!(supervisor.wait().unwrap().code(), Some(0));
}

/// The agent may be gone before the supervisor, interrupted while it waited, looks at it again: a shell that takes its time
/// before each command.
#[tokio::test(flavor = "multi_thread")]
async fn a4_stopped_on_a_busy_machine_it_ends_as_the_agent_did() {
    let mut this = Supervised::new().await;
    this.stop();
    let log = this.host.path("agent.log");
    this.start_by(Command::new("/bin/sh").arg("-x").env("PS4", "$(sleep 0.1)+ "));
    this.until("it has started again, and its end is waited for", |_| {
        let text = std::fs::read_to_string(&log).unwrap();
        text.matches("agent started").count() == 2 && text.contains("+ wait ")
    })
    .await;
    assert_eq!(tokio::task::block_in_place(|| this.stop()), Some(0));
}

/// Killed at any point of its update, the host comes to the same end.
#[tokio::test(flavor = "multi_thread")]
async fn a4_killed_in_the_middle_of_its_own_update_it_comes_to_the_same_end() {
    let mut this = Supervised::new().await;
    let signed = this.dispatch(1, &good("two"), 30);
    let mut random = fastrand::Rng::with_seed(83);
    let mut supervisors = 0;
    while this.state(&signed) != Some(HostState::Converged) && supervisors < 8 {
        let moment = Duration::from_millis(random.u64(100..1500));
        tokio::time::sleep(moment).await;
        supervisors += 1;
        let mut supervisor = this.supervisor.take().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", supervisor.id());
        let agents = std::fs::read_to_string(children).unwrap_or_default();
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
        for agent in agents.split_whitespace() {
            if let Some(agent) = agent.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _gone = rustix::process::kill_process(agent, rustix::process::Signal::KILL);
            }
        }
        this.start();
    }
    let settled = |world: &World| {
        let record = world.journals.get(&signed.rollout_id).and_then(|j| j.record.as_ref());
        record.is_some_and(|r| {
            matches!(r.state, HostState::Converged | HostState::Failed | HostState::Reverted)
        })
    };
    this.until("an end", settled).await;
    let found = std::fs::read_to_string(this.program()).unwrap();
    match this.state(&signed) {
        Some(HostState::Converged) => assert_eq!(found, good("two")),
        // Killed three times before it had reached anybody, or between acknowledgement and start.
        _ => assert!(this.count(&signed, "activation_failed") == 1 && found == good("one")),
    }
    let last = this.starts();
    assert!(found.contains(last.last().unwrap()), "{last:?}");
}
