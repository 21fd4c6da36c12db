//! A step that nothing undoes, and the real binary: the host stays failed for a person, kill -9 or not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent::Host;
use super::happy::bundle;
use super::release::Release;

/// A migration, and a probe that never passes.
fn migrating(script: &str) -> Value {
    let mut bundle = bundle("two", "something else");
    bundle["resources"].as_array_mut().unwrap().push(json!({
        "id": "migrate", "kind": "shell-job", "argv": ["/bin/sh", "-c", script], "one_way": true,
        "depends_on": ["hello"],
    }));
    bundle
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_migrated_and_failed_is_left_to_a_person_and_a_fix_reaches_it() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let agent = host.start();
    let good = Release::new(1, bundle("one", "one")).sign();
    control_plane.dispatch(&good);
    control_plane.until_event(&good.rollout_id, "converged").await;
    let bad = Release::new(2, migrating("echo x >> $WAVEGATE_ROOT/migrated")).sign();
    control_plane.dispatch(&bad);
    control_plane.until_event(&bad.rollout_id, "rollback_failed").await;
    let journal = control_plane.journal(&bad.rollout_id);
    assert_eq!(
        journal.event("rollback_failed")["reason"],
        json!("one-way: migrate cannot be undone")
    );
    assert_eq!(host.file("etc/hello").as_deref(), Some("two"));
    assert_eq!(host.current(), Some(bad.closure.clone()));
    let fix = Release::new(3, bundle("three", "three")).sign();
    control_plane.dispatch(&fix);
    control_plane.until_event(&fix.rollout_id, "converged").await;
    // The fix is where going back leads now.
    let worse = Release::new(4, bundle("four", "something else")).sign();
    control_plane.dispatch(&worse);
    control_plane.until_event(&worse.rollout_id, "rollback_complete").await;
    assert_eq!(host.file("etc/hello").as_deref(), Some("three"));
    assert_eq!(host.file("migrated").as_deref(), Some("x\n"));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_killed_in_the_middle_of_a_one_way_step_the_host_does_not_go_back_past_it() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let good = Release::new(1, bundle("one", "one")).sign();
    control_plane.dispatch(&good);
    let mut agent = host.spawn();
    control_plane.until_event(&good.rollout_id, "converged").await;
    let bad = Release::new(2, migrating("echo x >> $WAVEGATE_ROOT/migrated; sleep 1000")).sign();
    control_plane.dispatch(&bad);
    let deadline = Instant::now() + Duration::from_secs(30);
    while host.file("migrated").is_none() {
        assert!(Instant::now() < deadline, "the step never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
    let mut agent = host.spawn();
    control_plane.until_event(&bad.rollout_id, "rollback_failed").await;
    assert_eq!(host.file("etc/hello").as_deref(), Some("two"));
    assert_eq!(host.file("migrated").as_deref(), Some("x\n"));
    agent.kill().unwrap();
    agent.wait().unwrap();
}
