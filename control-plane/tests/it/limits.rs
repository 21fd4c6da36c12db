//! What one caller may ask, over real connections; and callers that hold on to what they have.
//!
//! Not here: the counting itself (unit tests of `limiter`, `disk` and `room`).

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wavegate_control_plane::config::{Limits, Rate};
use wavegate_proto::ids::BlobId;

use crate::fleet::Plan;
use crate::running::{TestPlane, client, heartbeat, problem, source};

async fn plane(change: impl FnOnce(&mut Limits)) -> TestPlane {
    TestPlane::start_with(|settings| change(&mut settings.limits)).await
}

async fn code(client: &Client, plane: &TestPlane, path: &str) -> (u16, String) {
    let response = client.get(plane.url(path)).send().await.unwrap();
    let status = response.status().as_u16();
    (status, if status == 200 { String::new() } else { problem(response).await })
}

/// G14: eight connections of one identity; the ninth is told so, and another identity is not held up.
#[tokio::test(flavor = "multi_thread")]
async fn g14_one_identity_has_so_many_connections() {
    let plane = plane(|limits| limits.connections_per_identity = 2).await;
    let certificate = plane.fleet.authority.issue(&["spiffe://demo/viewer/bob"]);
    let connection = || client(&plane.fleet.authority, Some(&certificate));
    let (first, second) = (connection(), connection());
    assert_eq!(code(&first, &plane, "/v1/status").await.0, 200);
    assert_eq!(code(&second, &plane, "/v1/status").await.0, 200);
    let third = connection();
    assert_eq!(code(&third, &plane, "/v1/status").await, (429, "rate-limited".to_owned()));
    assert_eq!(code(&third, &plane, "/healthz").await, (429, "rate-limited".to_owned()));
    let fourth = connection();
    assert_eq!(code(&fourth, &plane, "/v1/status").await.0, 429);
    let fifth = connection().get(plane.url("/v1/status")).send().await;
    assert!(fifth.is_err(), "with twice as many nothing is said any more");
    assert_eq!(code(&first, &plane, "/v1/status").await.0, 200);
    assert_eq!(code(&plane.client("viewer/eve"), &plane, "/v1/status").await.0, 200);
    // A connection that closes makes room; the crowded ones are given up after a second, and come again.
    drop((second, fourth));
    let ask = async || match third.get(plane.url("/v1/status")).send().await {
        Ok(response) => response.status() == 200,
        Err(_cut) => false,
    };
    plane.until("there is room again", ask).await;
}

/// G14: load is shed before the router; another caller is not held up.
#[tokio::test]
async fn g14_one_identity_may_ask_so_often() {
    let plane = plane(|limits| limits.requests = Rate { per_second: 1, burst: 3 }).await;
    let (bob, eve) = (plane.client("viewer/bob"), plane.client("viewer/eve"));
    for _ in 0..3 {
        assert_eq!(code(&bob, &plane, "/v1/status").await.0, 200);
    }
    let refused = bob.get(plane.url("/v1/nothing")).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await, "rate-limited");
    assert_eq!(code(&eve, &plane, "/v1/status").await.0, 200);
    // Without a certificate the address counts, on the status listener as well.
    let plain = Client::new();
    let ask =
        async || plain.get(plane.status_url("/healthz")).send().await.unwrap().status().as_u16();
    assert_eq!([ask().await, ask().await, ask().await, ask().await], [200, 200, 200, 429]);
}

fn events(first: u64, count: u64) -> Value {
    let at = wavegate_control_plane::clock::wall();
    let event = json!({ "kind": "degraded", "failing_probes": [] });
    let events: Vec<Value> =
        (first..first + count).map(|seq| json!({ "seq": seq, "at": at, "event": event })).collect();
    json!({
        "rollout_id": "stable@r1", "journal_id": "00000000-0000-4000-8000-000000000009",
        "replay": false, "events": events,
    })
}

async fn last_seq(plane: &TestPlane) -> u64 {
    plane.get(&plane.client("viewer/eve"), "/v1/status").await["log"]["last_seq"].as_u64().unwrap()
}

/// G14: beyond its share a host is answered 429, and there is no row.
#[tokio::test]
async fn g14_events_beyond_a_hosts_share_leave_no_row() {
    let plane = plane(|limits| limits.events = Rate { per_second: 1, burst: 5 }).await;
    plane.offer(&Plan::new(1, "r1")).await;
    let host = plane.client("host/host-01");
    plane.send(&host, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
    // The first is refused by the machine, and noted: it is the host's to say.
    let first = plane.send(&host, "POST", "/v1/agent/events", &events(1, 1)).await;
    assert_eq!(problem(first).await, "event-refused");
    let before = last_seq(&plane).await;
    let many = plane.send(&host, "POST", "/v1/agent/events", &events(2, 5)).await;
    assert_eq!(many.status(), 429);
    assert_eq!(problem(many).await, "rate-limited");
    let mut large = events(2, 1);
    large["events"][0]["event"]["failing_probes"] = json!(vec!["p".repeat(64); 1200]);
    let large = plane.send(&host, "POST", "/v1/agent/events", &large).await;
    assert_eq!(problem(large).await, "rate-limited", "no record above 64 KiB");
    assert_eq!(last_seq(&plane).await, before);
}

#[tokio::test]
async fn g14_uploads_end_at_the_quota() {
    let plane = plane(|limits| limits.blob_store_bytes = 10).await;
    let operator = plane.client("operator/alice");
    let put = async |text: &'static str| {
        let id = BlobId::of(text.as_bytes());
        operator.put(plane.url(&format!("/v1/blobs/{id}"))).body(text).send().await.unwrap()
    };
    assert_eq!(put("12345678").await.status(), 201);
    assert_eq!(problem(put("90a").await).await, "too-large");
    assert_eq!(put("90").await.status(), 201);
}

/// G14, O6: while as many downloads stand as there may be, heartbeats and events are answered, and whoever
/// wants to download is told to come back.
#[tokio::test(flavor = "multi_thread")]
async fn g14_downloads_that_stand_hold_up_nobody_else() {
    let plane = plane(|limits| limits.downloads = 2).await;
    plane.offer(&Plan::new(1, "r1")).await;
    let operator = plane.client("operator/alice");
    // More than the buffers on the way hold.
    let large = vec![7_u8; 64 << 20];
    let url = plane.url(&format!("/v1/blobs/{}", BlobId::of(&large)));
    assert_eq!(operator.put(url).body(large.clone()).send().await.unwrap().status(), 201);
    let path = format!("/v1/assets/{}", BlobId::of(&large));
    let [first, second] = ["operator/bob", "operator/eve"].map(|name| plane.client(name));
    let standing = first.get(plane.url(&path)).send().await.unwrap();
    let _other = second.get(plane.url(&path)).send().await.unwrap();
    let refused = operator.get(plane.url(&path)).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await, "overloaded");
    let host = plane.client("host/host-01");
    let answer = plane.send(&host, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
    assert_eq!(answer.status(), 200);
    drop(standing);
    let ask = async || operator.get(plane.url(&path)).send().await.unwrap().status() == 200;
    plane.until("there is a place again", ask).await;
}

/// Reads until the other end closes.
async fn until_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
    // A reset is an end as well.
    let _end = closed.await.unwrap();
}

/// Whoever connects and says nothing, or says it slowly, is shown the door.
#[tokio::test(flavor = "multi_thread")]
async fn slow_callers_are_given_up() {
    let plane = plane(|limits| {
        limits.handshake = Duration::from_millis(300);
        limits.headers = Duration::from_millis(300);
        limits.stall = Duration::from_millis(300);
    })
    .await;
    let mut silent = TcpStream::connect(plane.running.https).await.unwrap();
    until_closed(&mut silent).await;

    let mut headers = TcpStream::connect(plane.running.status.unwrap()).await.unwrap();
    headers.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
    until_closed(&mut headers).await;

    let host = plane.client("host/host-01");
    let piece = futures_util::stream::iter([Ok::<_, std::io::Error>("{")]);
    let body = reqwest::Body::wrap_stream(futures_util::StreamExt::chain(
        piece,
        futures_util::stream::pending(),
    ));
    let post =
        host.post(plane.url("/v1/agent/heartbeat")).header("content-type", "application/json");
    assert_eq!(problem(post.body(body).send().await.unwrap()).await, "bad-request");

    let operator = plane.client("operator/alice");
    let body =
        reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
    let put = operator.put(plane.url(&format!("/v1/blobs/{}", BlobId::of(b"x")))).body(body);
    assert_eq!(problem(put.send().await.unwrap()).await, "bad-request");
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let plane = plane(|limits| limits.connections_per_address = 2).await;
    let address = plane.running.status.unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    until_closed(&mut third).await;
    drop(second);
    let ask = async || Client::new().get(plane.status_url("/healthz")).send().await.is_ok();
    plane.until("there is room again", ask).await;
}

/// Headers above 16 KiB are not read, over either HTTP.
#[tokio::test]
async fn large_headers_are_refused() {
    let plane = plane(|_| {}).await;
    let large = "x".repeat(20 * 1024);
    let plain = Client::new().get(plane.status_url("/healthz")).header("x", &large).send().await;
    assert_eq!(plain.unwrap().status(), 431);
    let over_tls = plane.client("viewer/bob").get(plane.url("/v1/status")).header("x", &large);
    let refused = over_tls.send().await;
    assert!(refused.is_err() || refused.unwrap().status() == 431);
}

/// TLS 1.3 and nothing older.
#[tokio::test]
async fn an_older_tls_is_not_spoken() {
    let plane = plane(|_| {}).await;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    for (version, spoken) in [(&rustls::version::TLS12, false), (&rustls::version::TLS13, true)] {
        let mut roots = rustls::RootCertStore::empty();
        let pem = plane.fleet.authority.pem.as_bytes();
        roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder().tls_backend_preconfigured(config).build().unwrap();
        assert_eq!(client.get(plane.url("/healthz")).send().await.is_ok(), spoken, "{version:?}");
    }
    assert!(!source(plane.dir.path()).exists(), "nothing was released here");
}
