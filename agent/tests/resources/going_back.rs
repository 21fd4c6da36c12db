//! Left-overs, rolling back, and D7: nothing is deleted because data is missing.

use std::fs;

use serde_json::{Value, json};
use wavegate_proto::ids::ClosureId;
use wavegate_proto::wire::resource::Operation;

use crate::world::{LIMITS, World, complete, failure};

fn file(id: &str, content: &str) -> Value {
    json!({"id": id, "kind": "file", "path": format!("/etc/{id}"), "content": content})
}

#[tokio::test]
async fn back_to_nothing_is_byte_for_byte_what_was_before() {
    let world = World::new();
    world.write("/etc/replaced", "the old content\n", 0o4711);
    std::os::unix::fs::symlink("elsewhere", world.path("/etc/link")).unwrap();
    fs::create_dir(world.path("/etc/dir")).unwrap();
    world.write("/etc/dir/own", "somebody's", 0o600);
    let before = world.tree();
    let made = world
        .activate(json!([
            file("replaced", "new"),
            file("link", "now a file"),
            {"id": "dir", "kind": "directory", "path": "/etc/dir", "mode": "0700"},
            {"id": "deep", "kind": "file", "path": "/new/deep/file", "content": "x", "create_parents": true},
        ]))
        .await;
    assert_eq!(made, complete(true));
    assert_eq!(world.read("/etc/replaced"), "new");
    assert!(world.activator.current().unwrap().is_some());
    let world = world.restart();
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(world.tree(), before);
    assert_eq!(world.activator.current().unwrap(), None);
    assert_eq!(fs::read_dir(world.state().join("saved")).unwrap().count(), 0);
    assert_eq!(world.back_to_nothing().await, complete(false));
}

#[tokio::test]
async fn left_overs_go_only_if_they_are_ours() {
    let world = World::new();
    world.write("/etc/same", "as it was", 0o644);
    world.activate(json!([file("gone", "1"), file("kept", "1"), file("same", "as it was")])).await;
    world.write("/etc/stranger", "s", 0o644);
    assert_eq!(world.activate(json!([file("kept", "2")])).await, complete(true));
    assert!(!world.path("/etc/gone").exists());
    assert_eq!(world.read("/etc/kept"), "2");
    assert_eq!(world.read("/etc/same"), "as it was", "found as wanted, so never ours");
    assert_eq!(world.read("/etc/stranger"), "s");
    let gone = world.status("gone");
    assert_eq!(gone.operation, Operation::Delete);
    assert_eq!(gone.log.last().unwrap().event, "deleted");
}

#[tokio::test]
async fn a_folder_with_somebody_elses_file_stays() {
    let world = World::new();
    world.activate(json!([{"id": "d", "kind": "directory", "path": "/data"}])).await;
    world.write("/data/theirs", "x", 0o600);
    assert_eq!(world.back_to_nothing().await, complete(false));
    assert_eq!(world.read("/data/theirs"), "x");
}

#[tokio::test]
async fn a2_going_back_is_activating_the_prior_closure_by_its_identity() {
    let world = World::new();
    world.write("/etc/a", "original", 0o600);
    let (first, bundle) = world.bundle(json!([file("a", "1"), file("only-in-first", "1")]));
    world.activator.activate(&first, Some(bundle), LIMITS).await;
    let after_first = world.tree();
    world.activate(json!([file("a", "2"), file("only-in-second", "2")])).await;
    assert_eq!(world.activator.rollback(Some(&first), LIMITS).await, complete(true));
    assert_eq!(world.tree(), after_first);
    assert_eq!(world.activator.current().unwrap(), Some(first));
    let unknown = ClosureId::Bundle(wavegate_proto::ids::BlobId::of(b"never seen"));
    let outcome = world.activator.rollback(Some(&unknown), LIMITS).await;
    assert_eq!(failure(&outcome), ("prior-missing".to_owned(), false));
    assert_eq!(world.tree(), after_first);
}

#[tokio::test]
async fn a_file_may_become_a_folder_and_a_folder_a_file() {
    let world = World::new();
    let before = world.tree();
    let as_file = json!([{"id": "x", "kind": "file", "path": "/x", "content": "f"}]);
    let as_folder = json!([{"id": "y", "kind": "file", "path": "/x/y", "content": "f", "create_parents": true}]);
    assert_eq!(world.activate(as_file.clone()).await, complete(true));
    assert_eq!(world.activate(as_folder).await, complete(true));
    assert_eq!(world.read("/x/y"), "f");
    assert_eq!(world.activate(as_file).await, complete(true));
    assert_eq!(world.read("/x"), "f");
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn d7_without_the_list_nothing_is_deleted() {
    for damage in ["lost", "garbage"] {
        let world = World::new();
        world.activate(json!([file("a", "1"), file("b", "1")])).await;
        let before = world.tree();
        let list = world.state().join("owned.json");
        match damage {
            "lost" => fs::remove_file(&list).unwrap(),
            _ => fs::write(&list, "{ not json").unwrap(),
        }
        let world = world.restart();
        let outcome = world.back_to_nothing().await;
        assert_eq!(failure(&outcome), ("owned-list-lost".to_owned(), false), "{damage}");
        assert_eq!(world.tree(), before, "{damage}");
        assert_eq!(world.activate(json!([file("a", "1")])).await, complete(false), "{damage}");
        assert_eq!(world.tree(), before, "{damage}");
    }
}

#[tokio::test]
async fn d7_a_new_list_does_not_write_over_the_originals_of_a_lost_one() {
    let world = World::new();
    world.write("/etc/a", "original", 0o600);
    world.activate(json!([file("a", "ours")])).await;
    fs::remove_file(world.state().join("owned.json")).unwrap();
    let world = world.restart();
    world.activate(json!([file("a", "newer")])).await;
    assert_eq!(fs::read_to_string(world.state().join("saved/00000001")).unwrap(), "original");
}

#[tokio::test]
async fn d7_a_lost_original_leaves_the_file_in_place() {
    let world = World::new();
    world.write("/etc/a", "original", 0o600);
    world.activate(json!([file("a", "ours")])).await;
    fs::remove_dir_all(world.state().join("saved")).unwrap();
    let world = world.restart();
    let outcome = world.back_to_nothing().await;
    assert_eq!(failure(&outcome), ("saved-missing".to_owned(), false));
    assert_eq!(world.read("/etc/a"), "ours");
    assert_eq!(world.activate(json!([file("b", "next")])).await, complete(true));
    assert_eq!(world.read("/etc/a"), "ours");
}

#[tokio::test]
async fn a_list_of_a_newer_agent_is_refused_and_stays() {
    let world = World::new();
    let list = world.state().join("owned.json");
    let newer = r#"{"schema_version":2,"things":[]}"#;
    fs::write(&list, newer).unwrap();
    let steps = std::sync::Arc::new(wavegate_agent::resources::steps::Unhindered);
    let opened = wavegate_agent::resources::owned::Owned::open(&world.state(), steps);
    assert!(opened.unwrap_err().to_string().contains("version 2"));
    assert_eq!(fs::read_to_string(list).unwrap(), newer);
}
