//! What is answered to requests that are wrong, and on which listener.
//!
//! Not here: who may do what (see `matrix`).

use std::time::Duration;

use futures_util::future::select;
use reqwest::Client;
use serde_json::json;
use wavegate_control_plane::server::table::{Listener, ROUTES};

use crate::fleet::Plan;
use crate::matrix::example;
use crate::running::{TestPlane, heartbeat, problem};

/// On connections that are open too: the check is made for each request.
#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_adoption_on() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let revoked = plane.client("viewer/bob");
    plane.get(&revoked, "/v1/status").await;
    let not_before = wavegate_control_plane::clock::wall().plus_secs(3600);
    let revocation = json!([{ "subject": "viewer/bob", "not_before": not_before, "reason": null }]);
    plane.offer(&Plan { revoked: revocation, ..Plan::new(2, "r1") }).await;
    let response = revoked.get(plane.url("/v1/status")).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(problem(response).await, "certificate-revoked");
    plane.get(&plane.client("viewer/eve"), "/v1/status").await;
}

/// S4: a poll that waits for long ends with the revocation, and the connection's next request is refused.
#[tokio::test]
async fn s4_a_revocation_ends_a_parked_poll_on_an_open_connection() {
    let plane = TestPlane::start_with(|settings| settings.heartbeat_secs = 60).await;
    plane.offer(&Plan::new(1, "r1")).await;
    let host = plane.client("host/host-01");
    // The other host has not been heard: nothing is dispatched yet, and polls wait.
    let response = plane.send(&host, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
    assert_eq!(response.status(), 200);
    let url = plane.url("/v1/agent/dispatch?wait_secs=60");
    // Two at once: the one that ends says that the other one is parked.
    let (one, other) = (host.get(&url).send(), host.get(&url).send());
    let (ended, parked) = select(Box::pin(one), Box::pin(other)).await.factor_first();
    assert_eq!(ended.unwrap().status(), 204);
    let not_before = wavegate_control_plane::clock::wall().plus_secs(3600);
    let revoked = json!([{ "subject": "host/host-01", "not_before": not_before, "reason": null }]);
    plane.offer(&Plan { revoked, ..Plan::new(2, "r1") }).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), parked).await;
    assert_eq!(problem(ended.unwrap().unwrap()).await, "certificate-revoked");
    let response = plane.send(&host, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
    assert_eq!(problem(response).await, "certificate-revoked");
}

#[tokio::test]
async fn g27_the_status_listener_answers_reads_only_and_only_under_its_own_name() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let plain = Client::new();
    for route in ROUTES {
        let url = plane.status_url(&example(route, "host-01"));
        let method = reqwest::Method::from_bytes(route.method.as_bytes()).unwrap();
        let status = plain.request(method, url).send().await.unwrap().status().as_u16();
        match route.listener {
            Listener::Both => assert_eq!(status, 200, "{}", route.path),
            Listener::Mtls => assert_eq!(status, 404, "{}", route.path),
        }
    }
    let posted = plain.post(plane.status_url("/v1/hosts")).send().await.unwrap();
    assert_eq!(problem(posted).await, "method-not-allowed");
    let rebound = plain.get(plane.status_url("/v1/hosts")).header("host", "evil.example:80");
    assert_eq!(problem(rebound.send().await.unwrap()).await, "bad-request");
    let page = plain.get(plane.status_url("/v1/hosts")).header("origin", "http://evil.example");
    let page = page.send().await.unwrap();
    assert!(!page.headers().contains_key("access-control-allow-origin"), "no other site may read");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn requests_that_are_wrong_get_a_problem_document() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let (host, operator) = (plane.client("host/host-01"), plane.client("operator/alice"));
    let post = |body: String| {
        let request = host.post(plane.url("/v1/agent/heartbeat"));
        request.header("content-type", "application/json").body(body).send()
    };
    let large = format!("\"{}\"", "x".repeat(256 * 1024));
    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    for (body, code) in
        [("{", "bad-json"), ("[]", "bad-json"), (&deep, "bad-json"), (&large, "too-large")]
    {
        assert_eq!(problem(post(body.to_owned()).await.unwrap()).await, code);
    }
    // Without a length, the bytes themselves are counted.
    let pieces = (0..5).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    let endless = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = host.post(plane.url("/v1/agent/heartbeat")).body(endless);
    let response = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(problem(response).await, "too-large");

    let text = host.post(plane.url("/v1/agent/heartbeat")).body("{}").send().await.unwrap();
    assert_eq!(problem(text).await, "unsupported-media-type");
    let deleted = operator.delete(plane.url("/v1/hosts")).send().await.unwrap();
    assert!(deleted.headers().contains_key("allow"));
    assert_eq!(problem(deleted).await, "method-not-allowed");
    for (path, code) in [
        ("/v1/nothing", "not-found"),
        ("/v1/hosts/NOT_A_NAME", "bad-request"),
        ("/v1/hosts?limit=0", "bad-request"),
        ("/v1/hosts?state=asleep", "bad-request"),
        ("/v1/events?cursor=x", "bad-cursor"),
        ("/v1/rollouts/stable", "bad-request"),
        ("/v1/rollouts/stable@never", "unknown-rollout"),
        ("/v1/hosts/host-99", "unknown-host"),
    ] {
        let response = operator.get(plane.url(path)).send().await.unwrap();
        assert_eq!(problem(response).await, code, "{path}");
    }
}

#[tokio::test]
async fn another_protocol_version_is_refused_with_the_one_spoken_here() {
    let plane = TestPlane::start().await;
    let operator = plane.client("operator/alice");
    let get = |version: &str| {
        operator.get(plane.url("/v1/status")).header("wavegate-protocol", version).send()
    };
    assert_eq!(get("1").await.unwrap().status(), 200);
    assert_eq!(problem(get("2").await.unwrap()).await, "unsupported-protocol");
    // HTTP/2 has no such header; HTTP/1.1 names the protocol to change to.
    let plain = Client::new().get(plane.status_url("/v1/status")).header("wavegate-protocol", "2");
    let refused = plain.send().await.unwrap();
    assert_eq!(refused.status(), 426);
    assert_eq!(refused.headers()["upgrade"], "wavegate/1");
    assert_eq!(problem(refused).await, "unsupported-protocol");
}

/// S8: a hash is parsed before it becomes a file name.
#[tokio::test]
async fn s8_a_path_in_place_of_a_hash_reaches_no_file() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let operator = plane.client("operator/alice");
    let up = format!("sha256:{}", "../".repeat(21));
    for id in
        ["..%2F..%2Ftrust.json", "sha256:..%2Fwavegate.db", &up.replace('/', "%2F"), "sha256:ABC"]
    {
        for folder in ["closures", "assets"] {
            let response =
                operator.get(plane.url(&format!("/v1/{folder}/{id}"))).send().await.unwrap();
            assert_eq!(problem(response).await, "bad-request", "{folder}/{id}");
        }
        let put =
            operator.put(plane.url(&format!("/v1/blobs/{id}"))).body("x").send().await.unwrap();
        assert_eq!(problem(put).await, "bad-request", "{id}");
    }
}
