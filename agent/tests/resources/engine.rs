//! Order, blocking, gates, retries and waiting for other hosts.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wavegate_agent::resources::gate::wait_after;
use wavegate_agent::resources::steps::Step;
use wavegate_proto::wire::agent::ResourceRef;
use wavegate_proto::wire::resource::ResourceState;

use crate::world::{LIMITS, World, complete, failure};

fn file(id: &str, depends_on: Value) -> Value {
    json!({"id": id, "kind": "file", "path": format!("/etc/{id}"), "content": id, "depends_on": depends_on})
}

fn gated(id: &str, retries: u32, timeout_secs: u64) -> Value {
    let mut resource = file(id, json!([]));
    resource["health_gate"] = json!({
        "kind": "tcp", "address": "127.0.0.1:1", "retries": retries, "timeout_secs": timeout_secs,
    });
    resource
}

#[tokio::test]
async fn dependencies_come_first_otherwise_the_written_order() {
    let world = World::new();
    let resources = json!([
        file("c", json!(["a"])),
        file("b", json!([])),
        file("a", json!([])),
        file("d", json!([])),
    ]);
    let bundle = json!({"schema_version": 1, "max_parallel": 1, "resources": resources});
    let (_, parsed) = world.document(bundle.clone());
    let graph = wavegate_agent::resources::graph::Graph::of(&parsed).unwrap();
    assert_eq!(graph.order(), [1, 2, 0, 3]);
    assert_eq!(world.activate_document(bundle).await, complete(true));
}

#[tokio::test]
async fn contradictions_are_refused_before_anything_is_touched() {
    let world = World::new();
    let twin = json!({"id": "twin", "kind": "file", "path": "/etc/a", "content": ""});
    for (resources, reason) in [
        (json!([file("a", json!(["b"])), file("b", json!(["a"]))]), "dependency-cycle"),
        (json!([file("a", json!(["a"]))]), "dependency-cycle"),
        (json!([file("a", json!(["nobody"]))]), "unknown-dependency"),
        (json!([file("a", json!([])), file("a", json!([]))]), "duplicate-resource"),
        (json!([file("a", json!([])), twin]), "duplicate-holding"),
    ] {
        let outcome = world.activate(resources).await;
        assert_eq!(failure(&outcome), (reason.to_owned(), false));
    }
}

#[tokio::test]
async fn a_failed_resource_blocks_what_depends_on_it_and_the_rest_goes_on() {
    let world = World::new();
    std::fs::create_dir(world.path("/etc/bad")).unwrap();
    let outcome = world
        .activate(json!([
            file("bad", json!([])),
            file("child", json!(["bad"])),
            file("grandchild", json!(["child"])),
            file("other", json!([])),
        ]))
        .await;
    assert_eq!(failure(&outcome), ("unexpected-type".to_owned(), true));
    assert_eq!(world.state_of("bad"), ResourceState::Failed);
    assert_eq!(world.status("child").blocker.as_deref(), Some("bad"));
    assert_eq!(world.status("grandchild").blocker.as_deref(), Some("child"));
    assert_eq!(world.state_of("grandchild"), ResourceState::Blocked);
    assert_eq!(world.state_of("other"), ResourceState::Completed);
    assert!(!world.path("/etc/child").exists());
    std::fs::remove_dir(world.path("/etc/bad")).unwrap();
    let repaired = json!([file("bad", json!([])), file("child", json!(["bad"]))]);
    assert_eq!(world.activate(repaired).await, complete(true));
    assert_eq!(world.status("child").blocker, None);
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_asked_within_its_budget_and_then_fails_the_resource() {
    let world = World::new();
    world.answers.failures.store(u32::MAX, Ordering::SeqCst);
    let mut child = file("child", json!(["g"]));
    child["path"] = json!("/etc/child");
    let began = Instant::now();
    let outcome = world.activate(json!([gated("g", 6, 60), child])).await;
    assert_eq!(failure(&outcome), ("gate-failed".to_owned(), true));
    // Checks at 0, 10, 20 and 35 s; the next wait of 22.5 s still fits, the one of 33.75 s does not.
    assert_eq!(world.answers.asked.load(Ordering::SeqCst), 5);
    assert_eq!(began.elapsed().as_millis(), 57_500);
    assert_eq!(world.state_of("child"), ResourceState::Blocked);
    let log = world.status("g").log;
    assert_eq!(log.iter().filter(|entry| entry.event.starts_with("gate-check-")).count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_gate_passes_late_and_is_asked_again_when_nothing_changed() {
    let world = World::new();
    world.answers.failures.store(2, Ordering::SeqCst);
    let resources = json!([gated("g", 3, 30)]);
    assert_eq!(world.activate(resources.clone()).await, complete(true));
    assert_eq!(world.answers.asked.load(Ordering::SeqCst), 3);
    assert_eq!(world.activate(resources.clone()).await, complete(false));
    assert_eq!(world.answers.asked.load(Ordering::SeqCst), 4);
    world.answers.failures.store(u32::MAX, Ordering::SeqCst);
    let outcome = world.activate(resources).await;
    assert_eq!(failure(&outcome), ("gate-failed".to_owned(), false));
}

#[test]
fn the_waits_of_a_gate_grow_after_the_second() {
    let gate = serde_json::from_value(json!({
        "kind": "tcp", "address": "a:1", "retries": 100, "timeout_secs": 10,
    }));
    let gate = gate.unwrap();
    let waits: Vec<u128> = (1..=4).map(|n| wait_after(&gate, n).as_millis()).collect();
    assert_eq!(waits, [1000, 1000, 1500, 2250]);
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_tried_again_inside_the_activation() {
    let world = World::new();
    world.trouble.fail(Step::Rename, ErrorKind::ResourceBusy, 3);
    let began = Instant::now();
    assert_eq!(world.activate(json!([file("f", json!([]))])).await, complete(true));
    assert_eq!(began.elapsed().as_secs(), 1 + 2 + 4);
    let world = World::new();
    world.trouble.fail(Step::Rename, ErrorKind::ResourceBusy, u32::MAX);
    let outcome = world.activate(json!([file("f", json!([]))])).await;
    assert_eq!(failure(&outcome), ("io".to_owned(), false));
}

fn postgres() -> ResourceRef {
    serde_json::from_value(json!({"host": "db-1", "resource": "postgres"})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dependency_on_another_host_is_awaited_and_does_not_use_up_the_activation() {
    let world = Arc::new(World::new());
    let needs = json!([{"host": "db-1", "resource": "postgres"}]);
    let resources = json!([file("app", needs), file("other", json!([]))]);
    let running = Arc::clone(&world);
    let own = resources.clone();
    let activation = tokio::spawn(async move { running.activate(own).await });
    let mut awaiting = world.activator.awaiting();
    awaiting.wait_for(|list| list == &[postgres()]).await.unwrap();
    tokio::time::sleep(LIMITS.activation + Duration::from_secs(60)).await;
    assert_eq!(world.state_of("other"), ResourceState::Completed);
    assert_eq!(world.status("app").blocker.as_deref(), Some("db-1/postgres"));
    world.activator.set_satisfied(BTreeSet::from([postgres()]));
    assert_eq!(activation.await.unwrap(), complete(true));
    assert!(awaiting.borrow_and_update().is_empty());
    world.activator.set_satisfied(BTreeSet::new());
    assert_eq!(world.activate(resources).await, complete(false), "as it should be: needs nothing");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_another_host_ends() {
    let world = World::new();
    let needs = json!([{"host": "db-1", "resource": "postgres"}]);
    let began = Instant::now();
    let outcome = world.activate(json!([file("app", needs)])).await;
    assert_eq!(failure(&outcome), ("await-timeout".to_owned(), false));
    assert_eq!(began.elapsed().as_secs(), 3600);
    assert!(world.status("app").error.unwrap().contains("postgres on host db-1"));
}
