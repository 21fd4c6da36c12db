//! Files and folders: the least change, and none when nothing differs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::json;
use wavegate_agent::activation::ActivationOutcome;
use wavegate_proto::event::FailureClass;
use wavegate_proto::wire::resource::{Decision, Operation, ResourceState};

use crate::world::{World, complete, failure};

#[tokio::test]
async fn the_second_activation_changes_nothing() {
    let world = World::new();
    let asset = world.asset(&vec![7; 100_000]);
    let resources = json!([
        {"id": "dir", "kind": "directory", "path": "/srv", "mode": "0750"},
        {"id": "conf", "kind": "file", "path": "/srv/app.conf", "content": "a = 1\n", "mode": "0640", "depends_on": ["dir"]},
        {"id": "blob", "kind": "file", "path": "/srv/blob", "asset": asset.to_string(), "size": 100_000, "depends_on": ["dir"]},
    ]);
    assert_eq!(world.activate(resources.clone()).await, complete(true));
    assert_eq!(world.read("/srv/app.conf"), "a = 1\n");
    assert_eq!((world.mode("/srv"), world.mode("/srv/app.conf")), (0o750, 0o640));
    assert_eq!(world.status("conf").operation, Operation::Create);
    let before = world.tree();
    assert_eq!(world.activate(resources.clone()).await, complete(false));
    assert_eq!(world.tree(), before);
    let status = world.status("conf");
    assert_eq!((status.status, status.operation), (ResourceState::Completed, Operation::None));
    assert_eq!(status.decision, Decision::Skip);
    let events: Vec<&str> = status.log.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(events, ["blocked-by:dir", "started", "completed"].repeat(2));
    assert_eq!(world.restart().activate(resources).await, complete(false));
}

#[tokio::test]
async fn only_the_mode_differs_so_the_inode_stays() {
    let world = World::new();
    let file = |mode: &str| json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "x", "mode": mode}]);
    world.activate(file("0644")).await;
    let inode = fs::metadata(world.path("/etc/f")).unwrap().ino();
    assert_eq!(world.activate(file("0600")).await, complete(true));
    assert_eq!(world.mode("/etc/f"), 0o600);
    assert_eq!(fs::metadata(world.path("/etc/f")).unwrap().ino(), inode);
    assert_eq!(world.status("f").operation, Operation::Update);
}

#[tokio::test]
async fn parents_are_made_only_if_asked() {
    let world = World::new();
    let file = |create: bool| json!([{"id": "f", "kind": "file", "path": "/a/b/c", "content": "x", "create_parents": create}]);
    let before = world.tree();
    let outcome = world.activate(file(false)).await;
    assert_eq!(failure(&outcome), ("parent-missing".to_owned(), false));
    assert_eq!(world.tree(), before);
    assert_eq!(world.activate(file(true)).await, complete(true));
    assert_eq!((world.mode("/a"), world.mode("/a/b")), (0o755, 0o755));
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn what_is_no_file_is_left_alone() {
    let world = World::new();
    fs::create_dir(world.path("/etc/thing")).unwrap();
    let before = world.tree();
    let outcome = world
        .activate(json!([{"id": "f", "kind": "file", "path": "/etc/thing", "content": "x"}]))
        .await;
    assert_eq!(failure(&outcome), ("unexpected-type".to_owned(), false));
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn an_unknown_kind_fails_before_anything_is_touched() {
    let world = World::new();
    let before = world.tree();
    let outcome = world
        .activate(json!([
            {"id": "f", "kind": "file", "path": "/etc/f", "content": "x"},
            {"id": "t", "kind": "teapot", "spout": 1},
        ]))
        .await;
    let ActivationOutcome::Failed { class, reason, changed, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((class, reason.as_str(), changed), (FailureClass::Policy, "unknown-kind", false));
    assert_eq!(world.tree(), before);
    assert_eq!(world.state_of("t"), ResourceState::Unknown);
    assert_eq!(world.activator.current().unwrap(), None);
}

#[tokio::test]
async fn a_store_path_is_refused() {
    let world = World::new();
    let path = format!("/nix/store/{}-system", "a".repeat(32)).parse().unwrap();
    let outcome = world.activator.activate(&path, None, crate::world::LIMITS).await;
    assert_eq!(failure(&outcome), ("unsupported-backend".to_owned(), false));
}

#[tokio::test]
async fn a_damaged_asset_never_takes_a_files_place() {
    let world = World::new();
    let asset = world.asset(b"right");
    fs::write(world.state().join("assets").join(asset.file_name()), b"wrong").unwrap();
    world.write("/etc/f", "old", 0o644);
    let before = world.tree();
    let outcome = world
        .activate(json!([{"id": "f", "kind": "file", "path": "/etc/f", "asset": asset.to_string(), "size": 5}]))
        .await;
    assert_eq!(failure(&outcome).0, "asset-corrupt");
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn an_unknown_owner_changes_nothing() {
    let world = World::new();
    let outcome = world
        .activate(json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "x", "owner": "no-such-user"}]))
        .await;
    assert_eq!(failure(&outcome), ("unknown-account".to_owned(), false));
    assert!(!world.path("/etc/f").exists());
}

#[tokio::test]
async fn a_secret_of_the_host_gets_into_a_file_and_nowhere_else() {
    let world = World::new();
    let resources = json!([{"id": "s", "kind": "file", "path": "/etc/app.key",
        "content_from": {"host_file": "/etc/secret"}}]);
    let outcome = world.activate(resources.clone()).await;
    assert_eq!(failure(&outcome), ("secret-missing".to_owned(), false));
    world.write("/etc/secret", "hunter2", 0o600);
    assert_eq!(world.activate(resources.clone()).await, complete(true));
    assert_eq!(
        (world.read("/etc/app.key").as_str(), world.mode("/etc/app.key")),
        ("hunter2", 0o600)
    );
    let told = world.status("s").detail["digest"].as_str().unwrap().to_owned();
    let plain = wavegate_proto::ids::Sha256Hash::of(b"hunter2").to_string();
    assert!(told.starts_with("salted:") && !told.contains(&plain), "{told}");
    assert_eq!(world.activate(resources.clone()).await, complete(false));

    world.write("/etc/secret", "hunter3", 0o600);
    let (_, bundle) = world.bundle(resources.clone());
    let planned = world.activator.plan(&bundle, None).await.unwrap();
    let differs = &planned[0].differs[0];
    assert_eq!((differs.key.as_str(), &differs.lines), ("content", &None), "no diff shows it");
    assert_eq!(world.activate(resources).await, complete(true));
    assert_eq!(world.read("/etc/app.key"), "hunter3");
}
