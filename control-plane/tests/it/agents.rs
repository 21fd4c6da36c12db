//! What agents ask: heartbeats, polls, their own content.

use std::time::{Duration, Instant};

use futures_util::future::join;
use reqwest::Response;
use serde_json::Value;

use crate::fleet::Plan;
use crate::running::{TestPlane, heartbeat, problem};

/// Both hosts have been heard from, so that dispatching starts.
async fn all_report(plane: &TestPlane) {
    for host in ["host-01", "host-02"] {
        let client = plane.client(&format!("host/{host}"));
        let response = plane.send(&client, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
        assert_eq!(response.status(), 200);
    }
}

async fn poll(plane: &TestPlane, host: &str, wait_secs: u64) -> Response {
    let client = plane.client(&format!("host/{host}"));
    client
        .get(plane.url(&format!("/v1/agent/dispatch?wait_secs={wait_secs}")))
        .send()
        .await
        .unwrap()
}

/// O7: a dispatch wakes the host it is for, and nobody else.
#[tokio::test]
async fn o7_only_the_host_with_a_dispatch_is_woken() {
    let plane = TestPlane::start().await;
    let parked = async {
        let start = Instant::now();
        let response = poll(&plane, "host-09", 2).await;
        (response.status().as_u16(), start.elapsed())
    };
    let released = async {
        let one = Plan { hosts: vec!["host-01"], ..Plan::new(1, "r1") };
        plane.offer(&one).await;
        let host = plane.client("host/host-01");
        plane.send(&host, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
        poll(&plane, "host-01", 20).await
    };
    let ((status, waited), response) = join(parked, released).await;
    assert_eq!(response.status(), 200);
    let dispatch: Value = response.json().await.unwrap();
    assert_eq!(dispatch["rollout_id"], "stable@r1");
    assert!(matches!(status, 204 | 403 | 503), "{status}");
    assert!(status != 204 || waited >= Duration::from_secs(2), "woken after {waited:?}");
}

#[tokio::test]
async fn a_poll_without_a_dispatch_ends_in_time_with_204() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    // Not everybody has reported: nothing is dispatched yet, or this host is not in the fleet's turn.
    let start = Instant::now();
    let response = poll(&plane, "host-01", 0).await;
    assert_eq!(response.status(), 204);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_host_fetches_what_its_signed_entry_names_and_nothing_else() {
    let plan = Plan::new(1, "r1");
    let plane = TestPlane::with_release(&plan).await;
    all_report(&plane).await;
    let host = plane.client("host/host-01");
    let operator = plane.client("operator/alice");
    let fetch = async |client: &reqwest::Client, path: String| {
        client.get(plane.url(&path)).send().await.unwrap()
    };
    let closure = format!("/v1/closures/{}", plan.closure_id());
    let asset = format!("/v1/assets/{}", plan.asset_id());
    let got = fetch(&host, closure.clone()).await;
    assert_eq!(got.bytes().await.unwrap(), plan.closure());
    assert_eq!(fetch(&host, asset.clone()).await.bytes().await.unwrap(), plan.content);

    let stranger = plane.client("host/host-99");
    let other = Plan::new(9, "other");
    for (client, path) in [
        (&stranger, closure.clone()),
        (&stranger, asset.clone()),
        (&host, format!("/v1/closures/{}", other.closure_id())),
        (&host, format!("/v1/assets/{}", other.asset_id())),
        // A closure document is no asset of itself.
        (&host, format!("/v1/assets/{}", plan.closure_id())),
    ] {
        let response = fetch(client, path.clone()).await;
        assert_eq!(response.status(), 403, "{path}");
    }
    assert_eq!(fetch(&operator, asset).await.status(), 200);
    let unknown = fetch(&operator, format!("/v1/assets/{}", other.asset_id())).await;
    assert_eq!(problem(unknown).await, "unknown-blob");
}

#[tokio::test]
async fn a_lost_header_is_taken_back_from_a_host_only_when_it_verifies() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let host = plane.client("host/host-01");
    let mut proof = plane.get(&host, "/v1/agent/rollouts/stable@r1").await;
    let known = plane.send(&host, "POST", "/v1/agent/rollouts", &proof).await;
    assert!(known.status().is_success(), "{}", known.status());
    proof["proof"]["index"] = serde_json::json!(1);
    let wrong = plane.send(&host, "POST", "/v1/agent/rollouts", &proof).await;
    assert_eq!(problem(wrong).await, "merkle-mismatch");
}
