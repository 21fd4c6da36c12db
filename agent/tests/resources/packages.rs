//! Packages with the real apt and dpkg, in a root and from a repository that the test makes.
//!
//! Needs root and apt; where these are missing, the tests say so and end.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use wavegate_agent::resources::drift::Correction;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation};

use crate::deb::{self, Deb};
use crate::machine::run;
use crate::world::{World, complete, failure};

fn host() -> Option<World> {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("not run: needs root and apt-get");
        return None;
    }

    let world = World::new();
    for folder in [
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/sources.list.d",
        "etc/apt/trusted.gpg.d",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/triggers",
        "var/log/apt",
    ] {
        fs::create_dir_all(world.path(folder)).unwrap();
    }
    fs::write(world.path("var/lib/dpkg/status"), "").unwrap();
    let repository = world.state().join("repository");
    let hello = |version| Deb {
        name: "wg-hello",
        version,
        more: "",
        path: "/opt/wg-hello",
        content: version,
    };
    let other = |name, more, path| Deb { name, version: "1.0", more, path, content: "1.0" };
    let packages = [
        hello("1.0"),
        hello("2.0"),
        other("wg-user", "Depends: wg-hello\n", "/opt/wg-user"),
        other("wg-enemy", "Conflicts: wg-hello\n", "/opt/wg-enemy"),
    ];
    deb::repository(&repository, &packages);
    fs::write(world.path("etc/apt/sources.list"), deb::source(&repository)).unwrap();
    Some(world)
}

fn package(name: &str, version: Value, hold: Value) -> Value {
    json!([{"id": "p", "kind": "package", "name": name, "version": version, "hold": hold}])
}

#[tokio::test]
async fn a_package_is_installed_moved_held_and_taken_back() {
    let Some(world) = host() else { return };
    let old = package("wg-hello", json!("1.0"), json!(null));
    assert_eq!(
        world.activate(old.clone()).await,
        complete(true),
        "the lists are fetched on the way"
    );
    assert_eq!(world.read("/opt/wg-hello"), "1.0");
    assert_eq!(world.status("p").detail, json!({"version": "1.0", "hold": false}));
    assert_eq!(world.activate(old.clone()).await, complete(false));
    let new = package("wg-hello", json!("2.0"), json!(true));
    assert_eq!(world.activate(new).await, complete(true));
    assert_eq!(world.read("/opt/wg-hello"), "2.0");
    assert_eq!(world.status("p").detail, json!({"version": "2.0", "hold": true}));
    assert_eq!(
        world.activate(old).await,
        complete(true),
        "also to an older version, although held"
    );
    assert_eq!(world.read("/opt/wg-hello"), "1.0");
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert!(!world.path("/opt/wg-hello").exists());
    assert_eq!(world.back_to_nothing().await, complete(false));
}

#[tokio::test]
async fn a_package_that_was_there_goes_back_to_its_version() {
    let Some(world) = host() else { return };
    assert_eq!(
        world.activate(package("wg-hello", json!("1.0"), json!(null))).await,
        complete(true)
    );
    // As if somebody else had installed it.
    fs::remove_file(world.state().join("owned.json")).unwrap();
    fs::remove_dir_all(world.state().join("saved")).unwrap();
    let world = world.restart();
    assert_eq!(
        world.activate(package("wg-hello", json!("2.0"), json!(true))).await,
        complete(true)
    );
    assert_eq!(world.back_to_nothing().await, complete(true));
    assert_eq!(world.read("/opt/wg-hello"), "1.0");
}

#[tokio::test]
async fn what_would_remove_another_package_is_refused_after_simulation() {
    let Some(world) = host() else { return };
    assert_eq!(world.activate(package("wg-user", json!(null), json!(null))).await, complete(true));
    assert_eq!(world.read("/opt/wg-hello"), "2.0", "came along");
    let outcome = world.activate(package("wg-enemy", json!(null), json!(null))).await;
    assert_eq!(failure(&outcome).0, "would-remove");
    assert!(world.path("/opt/wg-user").exists() && !world.path("/opt/wg-enemy").exists());
    for (name, version) in [("wg-nobody", json!(null)), ("wg-hello", json!("9.9"))] {
        let outcome = world.activate(package(name, version, json!(null))).await;
        assert_eq!(failure(&outcome).0, "apt-failed", "{name}");
    }
}

#[tokio::test]
async fn drift_of_a_package_is_found_and_put_right() {
    let Some(world) = host() else { return };
    let wanted = package("wg-hello", json!("1.0"), json!(true));
    assert_eq!(world.activate(wanted.clone()).await, complete(true));
    let (_, bundle) = world.bundle(wanted);
    let root = format!("--root={}", world.root().display());
    let newer = world.state().join("repository/wg-hello_2.0.deb");
    run(Command::new("dpkg").arg(&root).arg("-i").arg(newer));
    let findings = world.activator.observe_all(&bundle).await;
    let id = ResourceId::new("p").unwrap();
    assert_eq!(findings[&id].drift(), Some(Drift::Changed));
    let corrections = world.activator.correct(&bundle, &findings).await.unwrap();
    assert_eq!(corrections[&id], Correction::Corrected { operation: Operation::Update });
    assert_eq!(world.read("/opt/wg-hello"), "1.0");
}
