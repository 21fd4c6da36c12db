//! Groups of resources: completed with their members, worked on within their own limit.

use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use wavegate_proto::wire::resource::ResourceState;

use crate::world::{World, complete, failure};

/// Notes when it begins and ends, so that the file tells who overlapped.
fn job(id: &str) -> Value {
    let script =
        format!("echo +{id} >> $WAVEGATE_ROOT/log; sleep 0.05; echo -{id} >> $WAVEGATE_ROOT/log");
    json!({"id": id, "kind": "shell-job", "argv": ["/bin/sh", "-c", script]})
}

/// The most that ran at once.
fn most_at_once(log: &str) -> i32 {
    let mut running = 0;
    let running_after = log.lines().map(|line| {
        running += if line.starts_with('+') { 1 } else { -1 };
        running
    });
    running_after.max().unwrap()
}

#[tokio::test]
async fn a_group_limits_its_members_and_comes_after_them() {
    for (at_once, expected) in [(json!(1), 1), (json!(2), 2)] {
        let world = World::new();
        let outcome = world
            .activate_document(json!({"schema_version": 1, "max_parallel": 8, "resources": [
                {"id": "after", "kind": "shell-job", "depends_on": ["g"],
                 "argv": ["/bin/sh", "-c", "echo +after >> $WAVEGATE_ROOT/log"]},
                {"id": "g", "kind": "group", "members": ["a", "b", "c"], "max_parallel": at_once,
                 "depends_on": ["first"]},
                job("a"), job("b"), job("c"), job("first"),
            ]}))
            .await;
        assert_eq!(outcome, complete(true));
        let log = world.read("/log");
        assert!(log.starts_with("+first\n-first\n") && log.ends_with("+after\n"), "{log}");
        assert_eq!(most_at_once(log.trim_end_matches("+after\n")), expected, "{log}");
        assert_eq!(world.status("g").detail["members"], json!(["a", "b", "c"]));
    }
}

#[tokio::test]
async fn the_gate_of_a_group_holds_its_dependents() {
    let world = World::new();
    world.answers.failures.store(u32::MAX, Ordering::SeqCst);
    let file = |id: &str, needs: Value| json!({"id": id, "kind": "file", "path": format!("/etc/{id}"), "content": "", "depends_on": needs});
    let gate = json!({"kind": "tcp", "address": "127.0.0.1:1", "retries": 1, "timeout_secs": 1});
    let outcome = world
        .activate(json!([
            file("member", json!([])),
            {"id": "g", "kind": "group", "members": ["member"], "health_gate": gate},
            file("after", json!(["g"])),
        ]))
        .await;
    assert_eq!(failure(&outcome), ("gate-failed".to_owned(), true));
    assert_eq!(world.state_of("member"), ResourceState::Completed);
    assert_eq!(world.state_of("g"), ResourceState::Failed);
    assert_eq!(world.status("after").blocker.as_deref(), Some("g"));
}

#[tokio::test]
async fn groups_that_contradict_themselves_are_refused() {
    let world = World::new();
    let group = |members: Value| json!({"id": "g", "kind": "group", "members": members});
    for resources in [
        json!([group(json!(["nobody"]))]),
        json!([group(json!(["h"])), {"id": "h", "kind": "group", "members": ["g"]}]),
        json!([group(json!(["j"])), {"id": "h", "kind": "group", "members": ["j"]}, job("j")]),
    ] {
        let outcome = world.activate(resources).await;
        assert_eq!(failure(&outcome), ("bad-group".to_owned(), false));
    }
}
