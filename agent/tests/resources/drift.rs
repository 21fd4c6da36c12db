//! Drift is found, put right where that is wanted, and never by deleting.

use serde_json::json;
use wavegate_agent::resources::drift::{Correction, MAX_CORRECTIONS};
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation, ResourceState};

use crate::world::{World, complete};

fn id(text: &str) -> ResourceId {
    ResourceId::new(text).unwrap()
}

#[tokio::test]
async fn drift_is_found_and_put_right_only_where_wanted() {
    let world = World::new();
    let resources = json!([
        {"id": "fixed", "kind": "file", "path": "/etc/fixed", "content": "1"},
        {"id": "shown", "kind": "file", "path": "/etc/shown", "content": "1", "on_drift": "report"},
        {"id": "fine", "kind": "directory", "path": "/fine"},
    ]);
    world.activate(resources.clone()).await;
    let (_, bundle) = world.bundle(resources.clone());
    world.write("/etc/fixed", "2", 0o644);
    std::fs::remove_file(world.path("/etc/shown")).unwrap();
    let findings = world.activator.observe_all(&bundle).await;
    let drift = |name: &str| findings[&id(name)].drift();
    assert_eq!(drift("fixed"), Some(Drift::Changed));
    assert_eq!(drift("shown"), Some(Drift::Missing));
    assert_eq!(drift("fine"), Some(Drift::Ok));
    let corrections = world.activator.correct(&bundle, &findings).await.unwrap();
    let corrected = Correction::Corrected { operation: Operation::Update };
    assert_eq!(corrections[&id("fixed")], corrected);
    assert_eq!(corrections[&id("shown")], Correction::Reported);
    assert_eq!(corrections.len(), 2);
    assert_eq!(world.read("/etc/fixed"), "1");
    assert!(!world.path("/etc/shown").exists());
    let log = world.status("fixed").log;
    assert_eq!(log.last().unwrap().event, "drift-corrected");
    std::fs::write(world.path("/etc/shown"), "1").unwrap();
    assert_eq!(world.activate(resources).await, complete(false));
}

#[tokio::test]
async fn a_correction_that_fails_waits_before_it_is_tried_again() {
    let world = World::new();
    let resources = json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "1"}]);
    world.activate(resources.clone()).await;
    let (_, bundle) = world.bundle(resources);
    std::fs::remove_file(world.path("/etc/f")).unwrap();
    std::fs::create_dir(world.path("/etc/f")).unwrap();
    let findings = world.activator.observe_all(&bundle).await;
    let first = world.activator.correct(&bundle, &findings).await.unwrap();
    assert!(matches!(first[&id("f")], Correction::Failed { .. }), "{first:?}");
    let second = world.activator.correct(&bundle, &findings).await.unwrap();
    assert!(matches!(second[&id("f")], Correction::Waiting { .. }), "{second:?}");
}

#[tokio::test]
async fn what_is_ours_and_no_longer_named_is_orphaned() {
    let world = World::new();
    world.activate(json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "1"}])).await;
    let (_, other) = world.bundle(json!([]));
    let findings = world.activator.observe_all(&other).await;
    assert_eq!(findings[&id("f")].drift(), Some(Drift::Orphaned));
    assert!(world.activator.correct(&other, &findings).await.unwrap().is_empty());
    assert_eq!(world.read("/etc/f"), "1");
}

/// Somebody else writes the same file, again and again.
async fn fight(world: &World, bundle: &Bundle, content: &str) -> Correction {
    world.write("/etc/f", content, 0o644);
    let findings = world.activator.observe_all(bundle).await;
    let corrections = world.activator.correct(bundle, &findings).await.unwrap();
    corrections[&id("f")].clone()
}

#[tokio::test]
async fn a_resource_that_is_corrected_again_and_again_is_stalled_and_says_who_may_be_at_it() {
    let world = World::new();
    let resources = json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "ours"}]);
    world.activate(resources.clone()).await;
    let (_, bundle) = world.bundle(resources);
    for turn in 0..=MAX_CORRECTIONS {
        let correction = fight(&world, &bundle, "theirs").await;
        assert!(matches!(correction, Correction::Corrected { .. }), "{turn}: {correction:?}");
        world.trouble.advance(60);
    }
    let held_open = std::fs::File::open(world.path("/etc/f")).unwrap();
    let mut waits = Vec::new();
    for _ in 0..3 {
        let held = fight(&world, &bundle, "theirs").await;
        let Correction::Stalled { error, retry_after } = held else { panic!("{held:?}") };
        assert!(
            error.starts_with("stalled: corrected more than 5 times within an hour"),
            "{error}"
        );
        assert!(error.contains("/etc/f was last written at"), "{error}");
        let status = world.status("f");
        assert_eq!((status.status, status.retry_after), (ResourceState::Failed, Some(retry_after)));
        assert_eq!(status.log.last().unwrap().event, "stalled");
        let waiting = fight(&world, &bundle, "theirs").await;
        assert_eq!(waiting, Correction::Waiting { until: retry_after });
        assert_eq!(world.read("/etc/f"), "theirs", "left as it is meanwhile");
        let wait = retry_after.secs_since(world.activator.statuses().now());
        waits.push(wait);
        world.trouble.advance(wait);
        let once = fight(&world, &bundle, "theirs").await;
        assert!(matches!(once, Correction::Corrected { .. }), "after the wait: {once:?}");
    }
    drop(held_open);
    assert_eq!(waits, [60, 120, 240]);
    // Nobody changes it for an hour: it is an ordinary resource again.
    world.trouble.advance(3700);
    let after = fight(&world, &bundle, "theirs").await;
    assert!(matches!(after, Correction::Corrected { .. }), "{after:?}");
    assert_eq!(world.state_of("f"), ResourceState::Completed);
}

#[tokio::test]
async fn a_stalled_resource_that_is_as_it_should_be_again_says_so() {
    let world = World::new();
    let resources = json!([{"id": "f", "kind": "file", "path": "/etc/f", "content": "ours"}]);
    world.activate(resources.clone()).await;
    let (_, bundle) = world.bundle(resources);
    for _ in 0..=MAX_CORRECTIONS {
        fight(&world, &bundle, "theirs").await;
    }
    assert!(matches!(fight(&world, &bundle, "theirs").await, Correction::Stalled { .. }));
    world.write("/etc/f", "ours", 0o644);
    let findings = world.activator.observe_all(&bundle).await;
    assert!(world.activator.correct(&bundle, &findings).await.unwrap().is_empty());
    let status = world.status("f");
    assert_eq!((status.status, status.error), (ResourceState::Completed, None));
}
