//! G28: paths are found inside the root, through no link of somebody else's.

use std::os::unix::fs::{lchown, symlink};

use serde_json::json;

use crate::world::{World, complete, failure};

#[tokio::test]
async fn g28_a_link_never_leads_out_of_the_root() {
    let world = World::new();
    let outside = world.root().parent().unwrap().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::create_dir_all(world.path(outside.to_str().unwrap())).unwrap();
    symlink(&outside, world.path("/abs")).unwrap();
    symlink("../../../../../../../../etc", world.path("/up")).unwrap();
    let outcome = world
        .activate(json!([
            {"id": "abs", "kind": "file", "path": "/abs/f", "content": "x"},
            {"id": "up", "kind": "file", "path": "/up/wavegate-test-f", "content": "x"},
        ]))
        .await;
    assert_eq!(outcome, complete(true));
    assert!(!outside.join("f").exists());
    assert!(!std::path::Path::new("/etc/wavegate-test-f").exists());
    assert_eq!(world.read("/etc/wavegate-test-f"), "x");
    assert_eq!(world.read(&format!("{}/f", outside.display())), "x");
}

#[tokio::test]
async fn g28_a_link_of_another_user_is_not_followed() {
    let world = World::new();
    symlink("etc", world.path("/link")).unwrap();
    if lchown(world.path("/link"), Some(12_345), Some(12_345)).is_err() {
        // Without root nobody can make such a link, and the rule for one's own is tested above.
        return;
    }
    let before = world.tree();
    for resource in [
        json!({"id": "f", "kind": "file", "path": "/link/f", "content": "x"}),
        json!({"id": "d", "kind": "directory", "path": "/link", "mode": "0700"}),
    ] {
        let outcome = world.activate(json!([resource])).await;
        assert_eq!(failure(&outcome), ("foreign-symlink".to_owned(), false));
    }
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn g28_a_link_in_a_files_place_is_replaced_not_followed() {
    let world = World::new();
    world.write("/etc/shadow", "secret", 0o600);
    symlink("shadow", world.path("/etc/app")).unwrap();
    let file = json!([{"id": "f", "kind": "file", "path": "/etc/app", "content": "x"}]);
    assert_eq!(world.activate(file).await, complete(true));
    assert_eq!(
        (world.read("/etc/app").as_str(), world.read("/etc/shadow").as_str()),
        ("x", "secret")
    );
}

#[tokio::test]
async fn g28_a_second_name_of_an_inode_does_not_get_our_mode() {
    let world = World::new();
    world.write("/etc/shadow", "x", 0o600);
    std::fs::hard_link(world.path("/etc/shadow"), world.path("/etc/app")).unwrap();
    let file =
        json!([{"id": "f", "kind": "file", "path": "/etc/app", "content": "x", "mode": "0666"}]);
    assert_eq!(world.activate(file).await, complete(true));
    assert_eq!((world.mode("/etc/app"), world.mode("/etc/shadow")), (0o666, 0o600));
}
