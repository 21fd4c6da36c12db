//! Random pairs of bundles: A, then B, then back to A gives A again; back to nothing gives what was there.
//!
//! Compared by a full listing of the tree: type and mode, owner, content, link target. Somebody's own files,
//! folders and links stand around; ids move between paths.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use wavegate_agent::activation::ActivationOutcome;
use wavegate_proto::ids::BlobId;

use crate::world::{LIMITS, World};

/// Paths that bundles name, a folder before what is in it. `/link` and `/lib` may be links to folders.
const PATHS: [&str; 10] = [
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/d",
    "/e",
    "/e/f",
    "/etc/app.conf",
    "/etc/own",
    "/link/g",
    "/lib/h",
];

const ASSET: &[u8] = b"the content of an asset";

/// What one path is, in a bundle or before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Nothing,
    File,
    Folder,
    Link,
}

/// A path's part in a bundle, and numbers that vary it.
type Choice = (Thing, u8, u8, u8);

fn choice() -> impl Strategy<Value = Choice> {
    let thing = prop_oneof![
        3 => Just(Thing::Nothing), 4 => Just(Thing::File), 3 => Just(Thing::Folder)
    ];
    (thing, any::<u8>(), any::<u8>(), any::<u8>())
}

fn before() -> impl Strategy<Value = Choice> {
    let thing = prop_oneof![
        24 => Just(Thing::Nothing), 2 => Just(Thing::File), 2 => Just(Thing::Folder), 1 => Just(Thing::Link)
    ];
    (thing, any::<u8>(), any::<u8>(), any::<u8>())
}

fn choices<S: Strategy<Value = Choice>>(of: impl Fn() -> S) -> impl Strategy<Value = Vec<Choice>> {
    proptest::collection::vec(of(), PATHS.len())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn mode(folder: bool, number: u8) -> String {
    let modes = if folder { ["0755", "0700", "0750"] } else { ["0644", "0600", "4755"] };
    modes[usize::from(number) % modes.len()].to_owned()
}

/// A bundle that does not contradict itself: folders above what is in them.
fn bundle(choices: &[Choice], turn: u8) -> Value {
    let mut kinds: BTreeMap<&str, Thing> = BTreeMap::new();
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    let mut resources = Vec::new();
    for (index, (path, (thing, content, number, owner))) in PATHS.iter().zip(choices).enumerate() {
        let above = kinds.get(parent(path)).copied();
        let is_below_a_file = above == Some(Thing::File) || above == Some(Thing::Link);
        // A folder is made in one that is there.
        let hangs = above == Some(Thing::Nothing) && *thing == Thing::Folder;
        let thing = if is_below_a_file || hangs { Thing::Nothing } else { *thing };
        // What is below a file is in its way as well.
        kinds.insert(path, if is_below_a_file { Thing::File } else { thing });
        let id = format!("r{}", (index + usize::from(turn)) % PATHS.len());
        let mut resource =
            json!({"id": id, "path": path, "mode": mode(thing == Thing::Folder, *number)});
        match thing {
            Thing::Nothing | Thing::Link => continue,
            Thing::Folder => resource["kind"] = json!("directory"),
            Thing::File => {
                resource["kind"] = json!("file");
                resource["create_parents"] = json!(true);
                match content % 3 {
                    0 => resource["content_from"] = json!({"host_file": "/etc/secret"}),
                    1 => {
                        resource["asset"] = json!(BlobId::of(ASSET).to_string());
                        resource["size"] = json!(ASSET.len());
                    }
                    _ => resource["content"] = json!(format!("content {content}")),
                }
            }
        }
        if owner % 3 == 0 && rustix::process::geteuid().is_root() {
            resource["owner"] = json!("app");
            resource["group"] = json!("app");
        }
        if let Some(above) = ids.get(parent(path)) {
            resource["depends_on"] = json!([above]);
        }
        ids.insert(path, id);
        resources.push(resource);
    }
    json!({"schema_version": 1, "max_parallel": 1 + turn % 4, "resources": resources})
}

/// A host on which somebody has things of their own.
fn host(before: &[Choice]) -> World {
    let world = World::new();
    world.asset(ASSET);
    world.write("/etc/passwd", "app:x:1234:1234::/nonexistent:/usr/sbin/nologin\n", 0o644);
    world.write("/etc/group", "app:x:1234:\n", 0o644);
    world.write("/etc/secret", "a secret", 0o600);
    fs::create_dir(world.path("/lib")).unwrap();
    symlink("lib", world.path("/link")).unwrap();
    let inside = fs::canonicalize(world.root()).unwrap();
    for (path, (thing, content, number, owner)) in PATHS.iter().zip(before) {
        let at = world.path(path);
        // A link on the way may lead out of the root for whoever is not the agent: nothing is put there.
        let folder = fs::canonicalize(at.parent().unwrap());
        if !folder.is_ok_and(|folder| folder.is_dir() && folder.starts_with(&inside)) {
            continue;
        }
        match thing {
            Thing::Nothing => continue,
            Thing::File => world.write(path, &format!("somebody's {content}"), 0o640),
            Thing::Folder => fs::create_dir(&at).unwrap_or(()),
            Thing::Link => {
                let target = ["etc", "nowhere", "etc/secret"][usize::from(*number) % 3];
                symlink(target, &at).unwrap_or(());
            }
        }
        let is_plain = fs::symlink_metadata(&at).is_ok_and(|meta| !meta.is_symlink());
        if is_plain && owner % 4 == 0 && fs::metadata(&at).unwrap().uid() == 0 {
            chown(&at, Some(4321), Some(4321)).unwrap();
        }
    }
    world
}

/// How often each part of the property was put to the test.
#[derive(Debug, Default)]
struct Reached {
    back_from_whole: u32,
    back_from_half: u32,
}

fn check(before: &[Choice], a: &[Choice], b: &[Choice], turn: u8, reached: &mut Reached) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = host(before);
        let nothing = world.tree();
        let (first, document) = world.document(bundle(a, 0));
        let done = world.activator.activate(&first, Some(document), LIMITS).await;
        if matches!(done, ActivationOutcome::Complete { .. }) {
            let after_a = world.tree();
            let (second, document) = world.document(bundle(b, turn));
            let done = world.activator.activate(&second, Some(document), LIMITS).await;
            match done {
                ActivationOutcome::Complete { .. } => reached.back_from_whole += 1,
                ActivationOutcome::Failed { .. } => reached.back_from_half += 1,
                ActivationOutcome::Deferred { .. } | ActivationOutcome::ForTheNext => {
                    panic!("bundles need no reboot: {done:?}")
                }
            }
            let back = world.activator.rollback(Some(&first), LIMITS).await;
            assert!(matches!(back, ActivationOutcome::Complete { .. }), "{back:?}");
            assert_eq!(world.tree(), after_a);
        }
        let back = world.activator.rollback(None, LIMITS).await;
        assert!(matches!(back, ActivationOutcome::Complete { .. }), "{back:?}");
        assert_eq!(world.tree(), nothing);
    });
}

#[test]
fn a2_back_from_any_bundle_is_the_bundle_before_it() {
    let config = ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(48, |cases| cases.parse().unwrap()),
        rng_seed: RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    };
    let reached = std::cell::RefCell::new(Reached::default());
    let pairs = (choices(before), choices(choice), choices(choice), any::<u8>());
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let run = runner.run(&pairs, |(before, a, b, turn)| {
        check(&before, &a, &b, turn, &mut reached.borrow_mut());
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
    let reached = reached.into_inner();
    assert!(reached.back_from_whole > 12 && reached.back_from_half > 1, "{reached:?}");
}
