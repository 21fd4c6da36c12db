//! Who may do what, and what is answered to requests that are wrong.

use reqwest::Client;
use serde_json::json;
use wavegate_control_plane::server::identity::Role;
use wavegate_control_plane::server::table::{Access, Listener, ROUTES, Route};
use wavegate_proto::ids::BlobId;

use crate::fleet::{Authority, Plan};
use crate::running::{TestPlane, client, heartbeat, problem};

fn example(route: &Route) -> String {
    let id = BlobId::of(b"nothing").to_string();
    let path = route.path.replace("{host}", "host-01").replace("{wave}", "0");
    let path = path.replace("{channel}", "stable").replace("{closure}", &id);
    if path.contains("/rollouts/") {
        path.replace("{id}", "stable@r1")
    } else {
        path.replace("{id}", &id)
    }
}

async fn status_and_code(client: &Client, plane: &TestPlane, route: &Route) -> (u16, String) {
    let response = plane.send(client, route.method, &example(route), &json!({})).await;
    let status = response.status().as_u16();
    let code = if status >= 400 { problem(response).await } else { String::new() };
    (status, code)
}

/// S2: every route with every role is allowed, or refused as the table says.
#[tokio::test]
async fn s2_every_route_is_closed_to_the_roles_it_does_not_name() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let roles = [
        (Role::Host, plane.client("host/host-01")),
        (Role::Operator, plane.client("operator/alice")),
        (Role::Viewer, plane.client("viewer/bob")),
    ];
    for route in ROUTES {
        for (role, client) in &roles {
            let allowed = match route.access {
                Access::Anyone => true,
                Access::Roles(roles) => roles.contains(role),
            };
            let (status, code) = status_and_code(client, &plane, route).await;
            // A host that may ask for content in general is refused what it does not own.
            let own_content = route.path.contains("closures") || route.path.contains("assets");
            if allowed && !(own_content && *role == Role::Host) {
                assert_ne!(status, 403, "{} {} as {role}: {code}", route.method, route.path);
                assert_ne!(status, 405, "{} {}", route.method, route.path);
            } else {
                let got = (status, code.as_str());
                assert_eq!(
                    got,
                    (403, "role-forbidden"),
                    "{} {} as {role}",
                    route.method,
                    route.path
                );
            }
        }
    }
}

#[tokio::test]
async fn without_a_certificate_only_health_and_enrollment_answer() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let anonymous = client(&plane.fleet.authority, None);
    for route in ROUTES {
        let (status, code) = status_and_code(&anonymous, &plane, route).await;
        match route.access {
            // What it is sent here is no request for a certificate.
            Access::Anyone if route.method == "POST" => {
                assert_eq!((status, code.as_str()), (400, "bad-json"), "{}", route.path);
            }
            Access::Anyone => assert_eq!(status, 200, "{}", route.path),
            Access::Roles(_) => {
                assert_eq!((status, code.as_str()), (401, "client-certificate-required"));
            }
        }
    }
    let nowhere = anonymous.get(plane.url("/v1/nothing")).send().await.unwrap();
    assert_eq!(problem(nowhere).await, "client-certificate-required");
}

#[tokio::test]
async fn a_certificate_of_another_authority_fails_the_handshake() {
    let plane = TestPlane::start().await;
    let foreign = Authority::new().issue(&["spiffe://demo/operator/alice"]);
    let client = client(&plane.fleet.authority, Some(&foreign));
    assert!(client.get(plane.url("/healthz")).send().await.is_err());
}

#[tokio::test]
async fn certificates_that_name_no_one_here_are_refused() {
    let plane = TestPlane::start().await;
    for uris in [
        &[][..],
        &["spiffe://demo/host/a", "spiffe://demo/operator/a"],
        &["spiffe://other/operator/alice"],
        &["spiffe://demo/admin/alice"],
    ] {
        let certificate = plane.fleet.authority.issue(uris);
        let client = client(&plane.fleet.authority, Some(&certificate));
        let response = client.get(plane.url("/v1/status")).send().await.unwrap();
        assert_eq!(response.status(), 403, "{uris:?}");
        assert_eq!(problem(response).await, "role-forbidden");
    }
}

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

#[tokio::test]
async fn the_status_listener_answers_reads_only_and_only_under_its_own_name() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let plain = Client::new();
    for route in ROUTES {
        let url = plane.status_url(&example(route));
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

/// S7: a host speaks for itself only, whatever a body says.
#[tokio::test]
async fn s7_the_host_is_the_one_of_the_certificate() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let first = plane.client("host/host-01");
    let path = "/v1/agent/rollouts/stable@r1";
    let proof = plane.get(&first, path).await;
    assert_eq!(proof["entry"]["host"], "host-01");
    let second = plane.client("host/host-02");
    let offered = plane.send(&second, "POST", "/v1/agent/rollouts", &proof).await;
    assert_eq!(offered.status(), 403);
    assert_eq!(problem(offered).await, "not-your-host");

    let mut named = heartbeat();
    named["host"] = json!("host-02");
    assert_eq!(plane.send(&first, "POST", "/v1/agent/heartbeat", &named).await.status(), 200);
    let operator = plane.client("operator/alice");
    assert_eq!(plane.get(&operator, "/v1/hosts/host-01").await["seen"], "online");
    assert_eq!(plane.get(&operator, "/v1/hosts/host-02").await["seen"], "never");
}
