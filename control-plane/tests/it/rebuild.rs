//! The database made anew from its log, beside what a running control plane wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use wavegate_control_plane::config::Settings;
use wavegate_control_plane::core::rebuild::{Rebuild, Unfoldable};
use wavegate_control_plane::core::{CoreConfig, EchoKey};
use wavegate_control_plane::exit::Exit;
use wavegate_control_plane::store::DATABASE_FILE;
use wavegate_control_plane::store::check::check;
use wavegate_control_plane::workers::release::rebuild::rebuild_state;
use wavegate_proto::ids::{CpEpoch, LogSeq, Sha256Hash};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::EventItem;

use crate::fleet::Plan;
use crate::running::{TestPlane, heartbeat, problem};

/// A state folder after two releases, a host that failed, one that said what is refused, and a restart.
async fn lived() -> TestPlane {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    for host in ["host-01", "host-02"] {
        let client = plane.client(&format!("host/{host}"));
        let answer = plane.send(&client, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
        assert_eq!(answer.status(), 200);
    }
    let first = take_dispatch(&plane, "host-01").await;
    let closure = &first["target_closure"];
    let probes = json!([{ "name": "http", "kind": "http", "mode": "enforce" }]);
    let result = |status| {
        json!({ "kind": "probe_result", "name": "http", "mode": "enforce", "status": status,
                "reason": null, "sub_results": [] })
    };
    let events = [
        json!({ "kind": "dispatch_ack", "prior_closure": null, "attempt": first["attempt"] }),
        json!({ "kind": "activation_started", "method": "bundle" }),
        json!({ "kind": "activation_complete", "closure": closure, "exit_code": 0, "changed": true }),
        json!({ "kind": "probe_topology", "probes": probes }),
        result("pass"),
        result("fail"),
        json!({ "kind": "failed", "failing_probes": ["http"], "sustained_secs": 60,
                "policy": "rollback-and-halt" }),
    ];
    for (seq, event) in (1..).zip(&events) {
        assert_eq!(report(&plane, "host-01", seq, event).await.status(), 200, "{event}");
    }
    let refused = json!({ "kind": "converged", "closure": closure, "soaked_secs": 5 });
    let refused = report(&plane, "host-02", 1, &refused).await;
    assert_eq!(problem(refused).await, "event-refused");
    plane.offer(&Plan::new(2, "r2")).await;
    plane.restart().await
}

async fn take_dispatch(plane: &TestPlane, host: &str) -> Value {
    let client = plane.client(&format!("host/{host}"));
    let path = "/v1/agent/dispatch?wait_secs=10";
    let answer = client.get(plane.url(path)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn report(plane: &TestPlane, host: &str, seq: u64, event: &Value) -> reqwest::Response {
    let at = wavegate_control_plane::clock::wall();
    let body = json!({
        "rollout_id": "stable@r1", "journal_id": "00000000-0000-4000-8000-0000000000aa",
        "replay": false, "events": [{ "seq": seq, "at": at, "event": event }],
    });
    plane.send(&plane.client(&format!("host/{host}")), "POST", "/v1/agent/events", &body).await
}

fn state_dir(plane: &TestPlane) -> PathBuf {
    plane.dir.path().join("state")
}

fn execute(state_dir: &Path, sql: &str) {
    let connection = Connection::open(state_dir.join(DATABASE_FILE)).unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
}

#[tokio::test]
async fn a_rebuild_gives_every_derived_row_as_it_stands() {
    let plane = lived().await;
    let into = plane.dir.path().join("again.db");
    // Beside a control plane that runs, and after it has stopped.
    let report = rebuild_state(&state_dir(&plane), &into).unwrap();
    assert!(report.clean, "{}", report.text);
    for line in ["rollouts: 2 rows, the same", "quarantines: 1 rows, the same"] {
        assert!(report.text.contains(line), "{}", report.text);
    }
    assert!(!report.text.contains("host_rollouts: 0 "), "{}", report.text);
    std::fs::remove_file(&into).unwrap();
    plane.running.stop().await.unwrap();
    let state = plane.dir.path().join("state");
    assert!(rebuild_state(&state, &into).unwrap().clean);

    // A control plane that is given the new one goes on from it.
    std::fs::rename(&into, state.join(DATABASE_FILE)).unwrap();
    let settings = crate::running::settings(plane.dir.path());
    let running = wavegate_control_plane::app::start(&settings).await.unwrap();
    let plane = TestPlane { fleet: plane.fleet, dir: plane.dir, running };
    let viewer = plane.client("viewer/bob");
    let rollout = plane.get(&viewer, "/v1/rollouts/stable@r1").await;
    assert_eq!(rollout["state"], "superseded");
    assert_eq!(rollout["superseded_by"], "stable@r2");
    assert_eq!(plane.get(&viewer, "/v1/quarantines").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_rebuild_tells_a_changed_table_from_a_changed_log() {
    let plane = lived().await;
    let (state, into) = (state_dir(&plane), plane.dir.path().join("again.db"));
    plane.running.stop().await.unwrap();
    execute(&state, "UPDATE rollouts SET frozen = 1 WHERE rollout_id = 'stable@r1'");
    let report = rebuild_state(&state, &into).unwrap();
    assert!(!report.clean);
    let line = "rollouts: 2 rows, 1 only in the log, 1 only in the table";
    assert!(report.text.contains(line), "{}", report.text);
    assert!(report.text.contains("DIFFERS"), "{}", report.text);

    let exists = rebuild_state(&state, &into).unwrap_err();
    assert_eq!((exists.exit, exists.message.contains("exists already")), (Exit::Usage, true));

    let into = plane.dir.path().join("third.db");
    execute(&state, "UPDATE event_log SET actor = 'nobody' WHERE seq = 7");
    let changed = rebuild_state(&state, &into).unwrap_err();
    assert!(changed.message.contains("log row 7: it was changed"), "{changed}");
    assert_eq!(left_over(plane.dir.path(), "third"), 0);
}

#[tokio::test]
async fn a_rebuild_names_the_file_of_an_old_release_that_is_missing() {
    let plane = lived().await;
    let (state, into) = (state_dir(&plane), plane.dir.path().join("again.db"));
    let viewer = plane.client("viewer/bob");
    let adopted = plane.get(&viewer, "/v1/events?kind=release_adopted").await;
    let path = "rollouts/stable@r1.hosts.jsonl";
    let hash = adopted["items"][0]["payload"]["files"][path].as_str().unwrap();
    let kept = state.join("blobs").join(format!("sha256-{hash}"));
    let bytes = std::fs::read(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    let missing = rebuild_state(&state, &into).unwrap_err();
    assert!(missing.message.contains(path) && missing.message.contains(hash), "{missing}");
    std::fs::write(&kept, [&bytes[..], b"x"].concat()).unwrap();
    let other = rebuild_state(&state, &into).unwrap_err();
    assert!(other.message.contains("its bytes are not"), "{other}");
    std::fs::write(&kept, bytes).unwrap();
    assert_eq!(left_over(plane.dir.path(), "again"), 0);
    assert!(rebuild_state(&state, &into).unwrap().clean);
}

/// What a rebuild left behind.
fn left_over(folder: &Path, name: &str) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    files.filter(|file| file.to_string_lossy().starts_with(name)).count()
}

/// A kind that has no arm is an error, not a row that does nothing.
#[test]
fn a_kind_that_is_not_known_is_refused_loudly() {
    let config = CoreConfig {
        fleet: "demo".parse().unwrap(),
        heartbeat_secs: 1,
        version: "test".to_owned(),
        retain_secs: 0,
        next_epoch: CpEpoch(uuid::Uuid::nil()),
        echo_key: EchoKey([0; 32]),
    };
    let row = EventItem {
        seq: LogSeq(1),
        at: Timestamp::from_unix_millis(0),
        host: None,
        rollout_id: None,
        kind: "host_painted".to_owned(),
        actor: "control-plane".to_owned(),
        synthetic: false,
        payload: json!({}),
        chain: Sha256Hash::default(),
    };
    let error = Rebuild::new(config, NoArtifacts, BTreeSet::new()).fold(&row).unwrap_err();
    assert!(matches!(error.reason, Unfoldable::UnknownKind), "{error}");
    assert_eq!(error.to_string(), "log row 1 (host_painted): this program does not know the kind");
}

struct NoArtifacts;

impl wavegate_control_plane::core::rebuild::Artifacts for NoArtifacts {
    fn bytes(&self, _: Sha256Hash) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}

/// A rollout that is over goes at once when nothing is retained; the log says what it lost.
#[tokio::test]
async fn a_compacted_log_verifies_and_gives_the_tables() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    plane.offer(&Plan::new(2, "r2")).await;
    let nothing = |settings: &mut Settings| settings.retain_secs = 0;
    let plane = plane.restart_with(nothing).await;
    let found = async |plane: &TestPlane, kind: &str| {
        let page = plane.get(&plane.client("viewer/bob"), &format!("/v1/events?kind={kind}")).await;
        page["items"].as_array().unwrap().len()
    };
    plane.until("r1 is pruned", async || found(&plane, "rollout_pruned").await == 1).await;
    let viewer = plane.client("viewer/bob");
    let gone = viewer.get(plane.url("/v1/rollouts/stable@r1")).send().await.unwrap();
    assert_eq!(problem(gone).await, "rollout-pruned");
    let plane = plane.restart_with(nothing).await;
    plane.until("its rows are removed", async || found(&plane, "compacted").await == 1).await;
    let of_r1 = plane.get(&plane.client("viewer/bob"), "/v1/rollouts/stable@r1/events").await;
    let kinds: Vec<&Value> =
        of_r1["items"].as_array().unwrap().iter().map(|row| &row["kind"]).collect();
    assert_eq!(kinds, ["rollout_pruned"]);

    let (state, into) = (state_dir(&plane), plane.dir.path().join("again.db"));
    plane.running.stop().await.unwrap();
    let checked = check(&state.join(DATABASE_FILE)).unwrap();
    assert_eq!(checked.findings, Vec::<String>::new());
    let report = rebuild_state(&state, &into).unwrap();
    assert!(report.clean, "{}", report.text);
    for line in ["\nrollouts: 1 rows", "pruned_rollouts: 1 rows", "log_removed: "] {
        assert!(report.text.contains(line), "{}", report.text);
    }
    // Somebody takes one row more than the log accounts for.
    let robbed = "DELETE FROM event_log WHERE seq = (SELECT min(first_seq) - 1 FROM log_removed)";
    execute(&state, robbed);
    let robbed = check(&state.join(DATABASE_FILE)).unwrap();
    assert!(robbed.findings.iter().any(|f| f.contains("is missing")), "{:?}", robbed.findings);
}
