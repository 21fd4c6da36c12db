//! A host takes an update, and goes back from a bad one.

use serde_json::{Value, json};
use wavegate_proto::ids::{BlobId, Seq};

use super::agent::Host;
use super::control_plane::World;
use super::lies::Lie;
use super::release::Release;

/// A bundle with one file and a probe that greps it.
pub(crate) fn bundle(content: &str, expected: &str) -> Value {
    json!({
        "schema_version": 1, "max_parallel": 4, "profile": "",
        "resources": [{
            "id": "hello", "kind": "file", "path": "/etc/hello", "content": content, "mode": "0644",
            "create_parents": false, "depends_on": [], "on_drift": "correct", "one_way": false,
        }],
        "probes": [{
            "name": "grep", "kind": "exec", "mode": "enforce", "interval_secs": 1, "timeout_secs": 1,
            "argv": ["/bin/sh", "-c", format!("grep -q '{expected}' \"$WAVEGATE_ROOT/etc/hello\"")],
            "user": "root", "env": {}, "expect_exit": 0,
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_takes_an_update_and_converges() {
    let host = Host::new().await;
    let signed = Release::new(1, bundle("one", "one")).sign();
    let agent = host.start();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    assert_eq!(host.file("etc/hello").as_deref(), Some("one"));
    assert_eq!(host.current(), Some(signed.closure.clone()));
    let journal = host.control_plane.journal(&signed.rollout_id);
    let kinds = journal.kinds();
    let position = |kind| kinds.iter().position(|k| *k == kind).unwrap();
    let order = ["dispatch_ack", "activation_started", "activation_complete", "converged"];
    assert!(order.map(position).is_sorted(), "{kinds:?}");
    agent.stop().await.unwrap();
    assert!(host.state_dir().join("state.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_release_is_taken_back_on_the_hosts_own_verdict() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let agent = host.start();
    let good = Release::new(1, bundle("one", "one")).sign();
    control_plane.dispatch(&good);
    control_plane.until_event(&good.rollout_id, "converged").await;
    let bad = Release::new(2, bundle("two", "something else")).sign();
    control_plane.dispatch(&bad);
    control_plane.until_event(&bad.rollout_id, "rollback_complete").await;
    assert_eq!(host.file("etc/hello").as_deref(), Some("one"));
    assert_eq!(host.current(), Some(good.closure.clone()));
    let rejected = |world: &World| {
        world.heartbeats.last().is_some_and(|h| h.rejected.iter().any(|r| r.closure == bad.closure))
    };
    control_plane.until("the closure is reported as rejected", rejected).await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_reported_and_corrected_once_converged() {
    let host = Host::new().await;
    let agent = host.start();
    let signed = Release::new(1, bundle("one", "one")).sign();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "converged").await;
    std::fs::write(host.root().join("etc/hello"), "changed by hand").unwrap();
    host.control_plane.until_event(&signed.rollout_id, "drift_corrected").await;
    assert!(host.control_plane.journal(&signed.rollout_id).has("drift_detected"));
    assert_eq!(host.file("etc/hello").as_deref(), Some("one"));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_control_plane_is_sent_the_journal_again() {
    let host = Host::new().await;
    let control_plane = &host.control_plane;
    let agent = host.start();
    let signed = Release::new(1, bundle("one", "one")).sign();
    control_plane.dispatch(&signed);
    control_plane.until_event(&signed.rollout_id, "converged").await;
    let before = control_plane.journal(&signed.rollout_id);
    control_plane.wipe();
    control_plane.world().replay.insert(signed.rollout_id.clone(), Seq(1));
    control_plane.until_event(&signed.rollout_id, "converged").await;
    let after = control_plane.journal(&signed.rollout_id);
    assert!(after.replayed, "not marked as a replay");
    assert_eq!(after.id, before.id);
    assert_eq!(after.entries[..before.entries.len()], before.entries);
    assert_eq!(control_plane.world().dispatches_served, 1, "dispatched again");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_fetching_is_tried_again_and_assets_come_with_the_closure() {
    let host = Host::new().await;
    let asset = vec![b'x'; 200_000];
    let mut bundle = bundle("", "");
    bundle["resources"][0] = json!({
        "id": "hello", "kind": "file", "path": "/etc/hello", "mode": "0644",
        "asset": BlobId::of(&asset).to_string(), "size": asset.len(),
        "create_parents": false, "depends_on": [], "on_drift": "correct", "one_way": false,
    });
    let release = Release { assets: vec![asset], ..Release::new(1, bundle) };
    let signed = release.sign();
    host.control_plane.lie("blob", Lie::Busy(3));
    let agent = host.start();
    host.control_plane.dispatch(&signed);
    host.control_plane.until_event(&signed.rollout_id, "activation_complete").await;
    assert_eq!(host.file("etc/hello").map(|text| text.len()), Some(200_000));
    assert!(host.control_plane.world().blob_requests >= 5, "not tried again");
    agent.stop().await.unwrap();
}

/// An asset that breaks off goes on where it was, and is right in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_download_that_broke_off_goes_on_where_it_was() {
    let host = Host::new().await;
    let asset: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let mut bundle = bundle("", "");
    bundle["resources"][0] = json!({
        "id": "hello", "kind": "file", "path": "/etc/hello", "mode": "0644",
        "asset": BlobId::of(&asset).to_string(), "size": asset.len(),
        "create_parents": false, "depends_on": [], "on_drift": "correct", "one_way": false,
    });
    let release = Release { assets: vec![asset.clone()], ..Release::new(1, bundle) };
    let signed = release.sign();
    host.control_plane.lie("asset", Lie::Length(200_000, asset[..120_000].to_vec()));
    let agent = host.start();
    host.control_plane.dispatch(&signed);
    host.control_plane.until("a download has broken off", |world| world.lies_told > 0).await;
    host.control_plane.world().lies.remove("asset");
    host.control_plane.until_event(&signed.rollout_id, "activation_complete").await;
    assert_eq!(std::fs::read(host.root().join("etc/hello")).unwrap(), asset);
    let ranges = host.control_plane.world().ranges.clone();
    assert!(!ranges.is_empty(), "begun from the start");
    assert!(ranges.iter().all(|range| range == "bytes=120000-"), "{ranges:?}");
    agent.stop().await.unwrap();
}
