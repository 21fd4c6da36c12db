//! What agents ask: heartbeats, polls, their own content.

use std::time::{Duration, Instant};

use futures_util::future::{FutureExt, select};
use reqwest::Response;
use serde_json::Value;

use crate::fleet::Plan;
use crate::running::{TestPlane, heartbeat, problem};

/// Both hosts have been heard from, so that dispatching starts.
async fn all_report(plane: &TestPlane) {
    for host in ["host-01", "host-02"] {
        speaks(plane, host).await;
    }
}

async fn speaks(plane: &TestPlane, host: &str) {
    let client = plane.client(&format!("host/{host}"));
    let response = plane.send(&client, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
    assert_eq!(response.status(), 200);
}

/// The rollout of the dispatch that a poll ended with.
async fn dispatched(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    response.json::<Value>().await.unwrap()["rollout_id"].take()
}

async fn poll(plane: &TestPlane, host: &str, wait_secs: u64) -> Response {
    let client = plane.client(&format!("host/{host}"));
    client
        .get(plane.url(&format!("/v1/agent/dispatch?wait_secs={wait_secs}")))
        .send()
        .await
        .unwrap()
}

/// A poll that waits for certain: it has ended another one of the same host.
async fn parked<'a>(
    plane: &'a TestPlane,
    host: &'a str,
) -> impl Future<Output = Response> + Unpin + 'a {
    let (one, other) = (poll(plane, host, 60), poll(plane, host, 60));
    let (ended, waiting) = select(Box::pin(one), Box::pin(other)).await.factor_first();
    assert_eq!(ended.status(), 204);
    waiting
}

/// O7: a dispatch wakes the host it is for, and nobody else.
#[tokio::test]
async fn o7_only_the_host_with_a_dispatch_is_woken() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    all_report(&plane).await;
    // Both join later and have not been heard from: their dispatches wait for their heartbeats.
    let hosts = vec!["host-01", "host-02", "host-03", "host-04"];
    plane.offer(&Plan { hosts, ..Plan::new(2, "r2") }).await;
    let first = parked(&plane, "host-03").await;
    let mut second = parked(&plane, "host-04").await;
    assert!((&mut second).now_or_never().is_none(), "it waits");
    speaks(&plane, "host-03").await;
    assert_eq!(dispatched(first.await).await, "stable@r2");
    // Woken for nothing, it would end with 204.
    assert!((&mut second).now_or_never().is_none(), "woken by the dispatch of another");
    speaks(&plane, "host-04").await;
    assert_eq!(dispatched(second.await).await, "stable@r2");
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

/// A download that broke off goes on where it was; what is not there is said so.
#[tokio::test]
async fn a_part_of_an_asset_is_sent_when_asked_for() {
    let plan = Plan::new(1, "r1");
    let plane = TestPlane::with_release(&plan).await;
    let host = plane.client("host/host-01");
    let url = plane.url(&format!("/v1/assets/{}", plan.asset_id()));
    let length = plan.content.len();
    let part = host.get(&url).header("range", "bytes=3-").send().await.unwrap();
    assert_eq!(part.status(), 206);
    let told = part.headers()["content-range"].to_str().unwrap().to_owned();
    assert_eq!(told, format!("bytes 3-{}/{length}", length - 1));
    assert_eq!(part.bytes().await.unwrap(), plan.content.as_bytes()[3..]);
    let beyond = format!("bytes={length}-");
    let beyond = host.get(&url).header("range", beyond).send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    assert_eq!(problem(beyond).await, "range-not-satisfiable");
    let whole = host.get(&url).send().await.unwrap();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.headers()["content-type"], "application/octet-stream");
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
