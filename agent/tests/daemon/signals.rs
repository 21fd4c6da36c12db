//! Drift that is put right within seconds, since the kernel and systemd tell; the regular look is hours away.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_agent::config::Settings;

use super::agent::Host;
use super::control_plane::World;
use super::machine::{Machine, Network};
use super::release::{Release, Signed};

const HOURS: Duration = Duration::from_secs(6 * 3600);

fn bundle(resources: &Value) -> Value {
    json!({"schema_version": 1, "resources": resources})
}

fn file(id: &str, on_drift: &str) -> Value {
    json!({"id": id, "kind": "file", "path": format!("/etc/{id}"), "content": "ours", "on_drift": on_drift})
}

/// How many events of this kind were reported about this resource.
fn count(world: &World, signed: &Signed, kind: &str, id: &str) -> usize {
    let Some(journal) = world.journals.get(&signed.rollout_id) else { return 0 };
    let events = journal.entries.iter().map(|entry| serde_json::to_value(&entry.event).unwrap());
    events.filter(|event| event["kind"] == kind && event["id"] == id).count()
}

/// Waits for so many events; longer than a look by a signal takes at worst, shorter by far than the interval.
async fn until_reported(host: &Host, signed: &Signed, kind: &str, id: &str, times: usize) {
    let what = format!("{kind} of {id}, {times} times");
    host.control_plane.until(&what, |world| count(world, signed, kind, id) >= times).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_put_right_within_seconds_without_waiting_for_the_regular_look() {
    let host = Host::new().await;
    let agent = host.start_with(Settings { drift_interval: HOURS, ..host.settings() });
    let resources =
        json!([file("fixed", "correct"), file("shown", "report"), file("again", "correct")]);
    let first = Release::new(1, bundle(&resources)).sign();
    host.control_plane.dispatch(&first);
    host.control_plane.until_event(&first.rollout_id, "converged").await;
    let path = |id: &str| host.root().join("etc").join(id);

    std::fs::write(path("fixed"), "theirs").unwrap();
    std::fs::write(path("shown"), "theirs").unwrap();
    until_reported(&host, &first, "drift_corrected", "fixed", 1).await;
    until_reported(&host, &first, "drift_detected", "shown", 1).await;
    assert_eq!(host.file("etc/fixed").as_deref(), Some("ours"));
    assert_eq!(host.file("etc/shown").as_deref(), Some("theirs"), "only reported");
    std::fs::remove_file(path("fixed")).unwrap();
    until_reported(&host, &first, "drift_corrected", "fixed", 2).await;
    std::fs::write(host.root().join("new"), "theirs").unwrap();
    std::fs::rename(host.root().join("new"), path("again")).unwrap();
    until_reported(&host, &first, "drift_corrected", "again", 1).await;
    let world = host.control_plane.journal(&first.rollout_id);
    let drift = world.kinds().iter().filter(|kind| kind.starts_with("drift_")).count();
    assert_eq!(drift, 7, "looks that find nothing new say nothing: {:?}", world.kinds());

    // What runs now is watched, and what ran before is not.
    let second = Release::new(2, bundle(&json!([file("other", "correct")]))).sign();
    host.control_plane.dispatch(&second);
    host.control_plane.until_event(&second.rollout_id, "converged").await;
    std::fs::remove_file(path("other")).unwrap();
    until_reported(&host, &second, "drift_corrected", "other", 1).await;
    agent.stop().await.unwrap();
}

/// The real binary as a user who may have no inotify at all; it is told once, and the regular look goes on.
#[tokio::test(flavor = "multi_thread")]
async fn without_signals_the_regular_look_goes_on_and_it_is_said_once() {
    let host = Host::new().await;
    let Some(mut agent) = start_without_inotify(&host) else { return };
    let signed = Release::new(1, bundle(&json!([file("fixed", "correct")]))).sign();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    for times in 1..=3 {
        std::fs::write(host.root().join("etc/fixed"), "theirs").unwrap();
        until_reported(&host, &signed, "drift_corrected", "fixed", times).await;
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
    let log = std::fs::read_to_string(host.path("agent.log")).unwrap();
    assert_eq!(log.matches("no signals of changes").count(), 1, "{log}");
}

/// In a user name space of its own, whose limit is none. `None`: this machine lets nobody have one.
fn start_without_inotify(host: &Host) -> Option<Child> {
    let limit = "echo 0 > /proc/sys/user/max_inotify_instances";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).stdout(Stdio::null());
        command
    };
    if !unshare(limit).status().is_ok_and(|status| status.success()) {
        eprintln!("not run: no user name spaces here");
        return None;
    }
    let agent = host.command();
    let log = std::fs::File::create(host.path("agent.log")).unwrap();
    let mut command = unshare(&format!("{limit}; exec \"$@\""));
    command.arg(agent.get_program()).args(agent.get_args()).args(["--drift-interval", "300ms"]);
    Some(command.stderr(log).spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_stopped_by_hand_is_started_within_seconds() {
    let Some((folder, machine)) = Machine::boot("stopped", Network::ITS_OWN) else { return };
    let host = Host::new().await;
    let agent = host.start_with(Settings {
        drift_interval: HOURS,
        root: folder.path().join("root"),
        systemd_bus: Some(machine.bus()),
        ..host.settings()
    });
    let unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    let app = json!({"id": "app", "kind": "systemd-unit", "name": "app.service", "content": unit,
        "enabled": true, "state": "active"});
    let signed = Release::new(1, bundle(&json!([app]))).sign();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    assert_eq!(machine.show("app.service", "ActiveState"), "active");
    tokio::task::block_in_place(|| machine.systemctl(&["stop", "app.service"]));
    until_reported(&host, &signed, "drift_corrected", "app", 1).await;
    assert_eq!(machine.show("app.service", "ActiveState"), "active");
    agent.stop().await.unwrap();
}
