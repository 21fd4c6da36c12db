//! Signals of the kernel and of a real systemd about what a bundle names.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_agent::resources::watch::{Signals, Touched};
use wavegate_proto::ids::ResourceId;

use crate::world::{World, complete};

/// The ids a signal was about, or `*` for everything.
fn names(touched: BTreeSet<Touched>) -> BTreeSet<String> {
    let name = |touched| match touched {
        Touched::Everything => "*".to_owned(),
        Touched::Resource(id) => id.to_string(),
    };
    touched.into_iter().map(name).collect()
}

/// Waits until signals have named all of these.
async fn until_named(signals: &mut Signals, wanted: &[&str], what: &str) {
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let mut named = BTreeSet::new();
    let all = async {
        while !wanted.is_subset(&named) {
            named.extend(names(signals.next().await));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), all).await.is_ok();
    assert!(in_time, "{what}: {named:?}, not {wanted:?}");
    assert_eq!(named, wanted, "{what}");
}

/// What else signals were about, until the one that is made last.
async fn until_mark(world: &World, signals: &mut Signals) -> BTreeSet<String> {
    world.write("/new", "again", 0o644);
    // One signal, not several.
    std::fs::rename(world.path("/new"), world.path("/mark")).unwrap();
    let mut named = BTreeSet::new();
    while !named.contains("mark") {
        let next = tokio::time::timeout(Duration::from_secs(20), signals.next()).await;
        named.extend(names(next.expect("the mark is never named")));
    }
    named.remove("mark");
    named
}

fn files() -> Value {
    json!([
        {"id": "folder", "kind": "directory", "path": "/etc/app"},
        {"id": "conf", "kind": "file", "path": "/etc/app/conf", "content": "1", "depends_on": ["folder"]},
        {"id": "deep", "kind": "file", "path": "/etc/app/a/b/deep", "content": "1", "create_parents": true,
         "depends_on": ["folder"]},
        {"id": "mark", "kind": "file", "path": "/mark", "content": "1"},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_a_file_of_the_bundle_gives_a_signal_about_it() {
    let world = World::new();
    world.activate(files()).await;
    let (_, bundle) = world.bundle(files());
    let mut signals = world.activator.signals();
    signals.follow(&bundle).await;
    world.write("/etc/app/conf", "2", 0o644);
    until_named(&mut signals, &["conf"], "written in place").await;
    until_mark(&world, &mut signals).await;
    world.write("/etc/app/new", "3", 0o644);
    std::fs::rename(world.path("/etc/app/new"), world.path("/etc/app/conf")).unwrap();
    until_named(&mut signals, &["conf"], "replaced by another").await;
    std::fs::remove_file(world.path("/etc/app/conf")).unwrap();
    until_named(&mut signals, &["conf"], "deleted").await;
    world.write("/etc/app/conf", "1", 0o644);
    until_named(&mut signals, &["conf"], "made again").await;
    until_mark(&world, &mut signals).await;
    world.write("/etc/app/conf", "1", 0o600);
    until_named(&mut signals, &["conf"], "another mode").await;
    until_mark(&world, &mut signals).await;

    std::fs::rename(world.path("/etc/app/a"), world.path("/etc/app/z")).unwrap();
    until_named(&mut signals, &["deep"], "a folder above is moved").await;
    std::fs::remove_dir_all(world.path("/etc/app")).unwrap();
    until_named(&mut signals, &["folder", "conf", "deep"], "all of it is deleted").await;
    until_mark(&world, &mut signals).await;

    let ids = ["folder", "conf", "deep"].map(|name| ResourceId::new(name).unwrap());
    let findings = world.activator.observe_some(&bundle, &BTreeSet::from(ids)).await;
    world.activator.correct(&bundle, &findings).await.unwrap();
    until_named(&mut signals, &["folder", "conf", "deep"], "our own correction").await;
    signals.follow(&bundle).await;
    until_mark(&world, &mut signals).await;
    world.write("/etc/app/a/b/deep", "2", 0o644);
    until_named(&mut signals, &["deep"], "written, where all folders are new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_and_what_is_not_in_the_bundle_give_no_signal() {
    let world = World::new();
    world.activate(files()).await;
    let (_, bundle) = world.bundle(files());
    let mut signals = world.activator.signals();
    signals.follow(&bundle).await;
    let findings = world.activator.observe_all(&bundle).await;
    assert!(world.activator.correct(&bundle, &findings).await.unwrap().is_empty());
    world.write("/etc/app/other", "x", 0o644);
    world.write("/etc/app/a/b/other", "x", 0o644);
    std::fs::remove_file(world.path("/etc/app/other")).unwrap();
    assert_eq!(until_mark(&world, &mut signals).await, BTreeSet::new());

    // Another bundle runs: what only the first one named is watched no more.
    let (_, other) = world.bundle(json!([files()[3]]));
    signals.follow(&other).await;
    world.write("/etc/app/conf", "2", 0o644);
    assert_eq!(until_mark(&world, &mut signals).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_systemd_tells_when_a_unit_is_stopped_or_disabled() {
    let Some((world, machine)) = World::boot("signals") else { return };
    let unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    let resources = json!([
        {"id": "app", "kind": "systemd-unit", "name": "app.service", "content": unit, "enabled": true,
         "state": "active"},
        {"id": "mark", "kind": "file", "path": "/mark", "content": "1"},
    ]);
    assert_eq!(world.activate(resources.clone()).await, complete(true));
    let (_, bundle) = world.bundle(resources);
    let mut signals = world.activator.signals();
    signals.follow(&bundle).await;
    for words in [["stop", "app.service"], ["disable", "app.service"], ["kill", "app.service"]] {
        machine.systemctl(&words);
        until_named(&mut signals, &["app"], words[0]).await;
        let app = BTreeSet::from([ResourceId::new("app").unwrap()]);
        let findings = world.activator.observe_some(&bundle, &app).await;
        assert_eq!(findings.len(), 1, "nothing else was looked at");
        world.activator.correct(&bundle, &findings).await.unwrap();
        // The trace of the correction.
        until_named(&mut signals, &["app"], "our own correction").await;
        until_mark(&world, &mut signals).await;
    }
    assert_eq!(machine.show("app.service", "ActiveState"), "active");
}
