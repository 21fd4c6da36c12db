//! Steps that nothing undoes are written down before they begin.

use std::fs;

use serde_json::{Value, json};
use wavegate_state_machine::agent::OneWay;

use crate::world::{LIMITS, World, complete, failure};

fn job(id: &str, script: &str) -> Value {
    json!({"id": id, "kind": "shell-job", "argv": ["/bin/sh", "-c", script], "one_way": true})
}

fn passed(ids: &[&str]) -> OneWay {
    OneWay::Passed(ids.iter().map(|id| id.parse().unwrap()).collect())
}

#[tokio::test]
async fn a_step_that_was_begun_is_known_however_it_ended() {
    let world = World::new();
    assert_eq!(world.activator.one_way(), OneWay::Open);
    let plain = json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "x"}]);
    world.activate(plain).await;
    assert_eq!(world.activator.one_way(), OneWay::Open);
    let failed = world.activate(json!([job("migrate", "exit 3")])).await;
    assert_eq!(failure(&failed), ("job-failed".to_owned(), true));
    assert_eq!(world.activator.one_way(), passed(&["migrate"]));
    let world = world.restart();
    assert_eq!(world.activator.one_way(), passed(&["migrate"]), "after a restart");
}

#[tokio::test]
async fn a_step_stands_on_the_list_before_it_begins() {
    let world = World::new();
    let list = world.state().join("one-way.json");
    let script = format!("cp {} \"$WAVEGATE_ROOT/seen\"", list.display());
    assert_eq!(world.activate(json!([job("migrate", &script)])).await, complete(true));
    assert!(world.read("/seen").contains("migrate"));
}

#[tokio::test]
async fn what_was_blocked_or_is_done_already_is_no_step() {
    let world = World::new();
    world.write("/etc/there", "x", 0o644);
    let blocked = json!({"id": "later", "kind": "file", "path": "/etc/later", "content": "x",
        "one_way": true, "depends_on": ["broken"]});
    let broken = json!({"id": "broken", "kind": "file", "path": "/no/folder", "content": "x"});
    let there = json!({"id": "there", "kind": "file", "path": "/etc/there", "content": "x", "one_way": true});
    let outcome = world.activate(json!([broken, blocked, there])).await;
    assert_eq!(failure(&outcome).0, "parent-missing");
    assert_eq!(world.activator.one_way(), OneWay::Open);
}

#[tokio::test]
async fn a_pass_that_changed_nothing_has_begun_nothing() {
    let world = World::new();
    let step = json!([{"id": "f", "kind": "file", "path": "/no/folder/f", "content": "x", "one_way": true}]);
    let outcome = world.activate(step).await;
    assert_eq!(failure(&outcome), ("parent-missing".to_owned(), false));
    assert_eq!(world.activator.one_way(), OneWay::Open);
}

#[tokio::test]
async fn once_settled_the_same_step_opens_nothing_and_another_does() {
    let world = World::new();
    let step = |content: &str| json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": content, "one_way": true}]);
    let (first, bundle) = world.bundle(step("1"));
    world.activator.activate(&first, Some(bundle.clone()), LIMITS).await;
    assert_eq!(world.activator.one_way(), passed(&["f"]));
    world.activator.settle_one_way(&bundle).unwrap();
    assert_eq!(world.activator.one_way(), OneWay::Open);
    fs::remove_file(world.path("/etc/f")).unwrap();
    world.activator.activate(&first, Some(bundle), LIMITS).await;
    assert_eq!(world.activator.one_way(), OneWay::Open, "nothing new was passed");
    world.activate(step("2")).await;
    assert_eq!(world.activator.one_way(), passed(&["f"]));
    world.activator.rollback(Some(&first), LIMITS).await;
    assert_eq!(world.activator.one_way(), passed(&["f"]), "a way back opens and closes nothing");
}

#[tokio::test]
async fn a_list_that_is_damaged_is_kept_aside_and_closes_the_way_back() {
    let world = World::new();
    let list = world.state().join("one-way.json");
    fs::write(&list, "{ not json").unwrap();
    let world = world.restart().restart();
    assert_eq!(world.activator.one_way(), OneWay::Unknown);
    assert!(world.state().join("one-way.json.bad").exists());
    let (closure, bundle) = world.bundle(json!([]));
    world.activator.activate(&closure, Some(bundle.clone()), LIMITS).await;
    world.activator.settle_one_way(&bundle).unwrap();
    assert_eq!(world.activator.one_way(), OneWay::Open);
}
