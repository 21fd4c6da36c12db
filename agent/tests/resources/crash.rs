//! The power is cut before every single step: the same activation, or the way back, then still ends
//! where it should.

use std::path::PathBuf;

use serde_json::{Value, json};
use wavegate_agent::activation::ActivationOutcome;

use crate::world::{Tree, World, complete};

fn host() -> World {
    let world = World::new();
    world.write("/etc/replaced", "the old content\n", 0o640);
    std::os::unix::fs::symlink("elsewhere", world.path("/etc/link")).unwrap();
    std::fs::create_dir(world.path("/etc/dir")).unwrap();
    world.asset(b"an asset");
    world
}

fn bundle() -> Value {
    let asset = wavegate_proto::ids::BlobId::of(b"an asset").to_string();
    json!({"schema_version": 1, "max_parallel": 1, "resources": [
        {"id": "replaced", "kind": "file", "path": "/etc/replaced", "content": "new", "mode": "0600"},
        {"id": "link", "kind": "file", "path": "/etc/link", "asset": asset, "size": 8},
        {"id": "dir", "kind": "directory", "path": "/etc/dir", "mode": "0700"},
        {"id": "made", "kind": "directory", "path": "/made", "mode": "0770"},
        {"id": "deep", "kind": "file", "path": "/new/deep/file", "content": "x", "create_parents": true},
    ]})
}

fn without_temporaries(mut tree: Tree) -> Tree {
    tree.retain(|path, _| path.extension().is_none_or(|end| end != "tmp"));
    tree
}

/// The paths below the root, so that trees of two hosts can be compared.
fn relative(world: &World) -> Tree {
    let root = world.root();
    let cut = |path: PathBuf| path.strip_prefix(&root).unwrap().to_owned();
    world.tree().into_iter().map(|(path, what)| (cut(path), what)).collect()
}

#[tokio::test]
async fn an_activation_cut_off_anywhere_converges() {
    let whole = host();
    assert_eq!(whole.activate_document(bundle()).await, complete(true));
    let wanted = relative(&whole);
    for cut in 0.. {
        let world = host();
        let before = world.tree();
        world.trouble.cut_after(cut);
        let first = world.activate_document(bundle()).await;
        if first == complete(true) {
            assert!(cut > 40, "only {cut} steps were cut");
            break;
        }
        let at_cut = without_temporaries(world.tree());
        if let ActivationOutcome::Failed { changed: false, .. } = first {
            assert_eq!(at_cut, before, "cut {cut}: said to have changed nothing");
        }
        let world = world.restart();
        let second = world.activate_document(bundle()).await;
        assert_eq!(second, complete(true), "cut {cut}");
        assert_eq!(relative(&world), wanted, "cut {cut}");
        assert_eq!(world.activate_document(bundle()).await, complete(false), "cut {cut}");
        assert_eq!(world.back_to_nothing().await, complete(true), "cut {cut}");
        assert_eq!(world.tree(), before, "cut {cut}");
    }
}

#[tokio::test]
async fn going_back_after_an_activation_cut_off_anywhere_restores_everything() {
    for cut in 0.. {
        let world = host();
        let before = world.tree();
        world.trouble.cut_after(cut);
        let first = world.activate_document(bundle()).await;
        let world = world.restart();
        let back = world.back_to_nothing().await;
        assert!(matches!(back, ActivationOutcome::Complete { .. }), "cut {cut}: {back:?}");
        assert_eq!(world.tree(), before, "cut {cut}");
        if first == complete(true) {
            break;
        }
    }
}

#[tokio::test]
async fn going_back_cut_off_anywhere_converges() {
    for cut in 0.. {
        let world = host();
        let before = world.tree();
        assert_eq!(world.activate_document(bundle()).await, complete(true));
        world.trouble.cut_after(cut);
        let first = world.back_to_nothing().await;
        let world = world.restart();
        let second = world.back_to_nothing().await;
        assert!(matches!(second, ActivationOutcome::Complete { .. }), "cut {cut}: {second:?}");
        assert_eq!(world.tree(), before, "cut {cut}");
        if first == complete(true) {
            break;
        }
    }
}
