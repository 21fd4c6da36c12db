//! Every route with every caller there may be, and every route with the names of other hosts. Made from the
//! table: a route that is added is in it.
//!
//! Not here: requests that are wrong in other ways (see `roles`).

use reqwest::Client;
use serde_json::json;
use wavegate_control_plane::server::identity::Role;
use wavegate_control_plane::server::table::{Access, ROUTES, Route};
use wavegate_proto::ids::BlobId;

use crate::fleet::{Authority, Plan};
use crate::running::{TestPlane, client, heartbeat, problem};

/// A request for a route, about `host` where it is about one.
pub(crate) fn example(route: &Route, host: &str) -> String {
    let id = BlobId::of(b"nothing").to_string();
    let path = route.path.replace("{host}", host).replace("{wave}", "0");
    let path = path.replace("{channel}", "stable").replace("{closure}", &id);
    if path.contains("/rollouts/") {
        path.replace("{id}", "stable@r1")
    } else {
        path.replace("{id}", &id)
    }
}

/// What a caller meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// No connection at all.
    Handshake,
    /// A problem of this status and code.
    Problem(u16, &'static str),
    /// Whatever the route answers to whoever may ask.
    Served,
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
enum Caller {
    /// Somebody of this fleet.
    Is(Role),
    /// A certificate that is not accepted by TLS.
    Untrusted,
    /// One of ours, revoked.
    Revoked,
    /// One of ours that names nobody here.
    Unnamed,
    /// Without a certificate.
    Nobody,
}

impl Caller {
    fn meets(self, route: &Route) -> Met {
        let roles = match (self, route.access) {
            (Self::Untrusted, _) => return Met::Handshake,
            (_, Access::Anyone) => return Met::Served,
            (_, Access::Roles(roles)) => roles,
        };
        match self {
            Self::Is(Role::Host)
                if route.path.contains("{id}") && !route.path.contains("rollouts") =>
            {
                // Blobs: it may ask for content in general, and this one is not its own.
                Met::Problem(403, "role-forbidden")
            }
            Self::Is(role) if roles.contains(&role) => Met::Served,
            Self::Is(_) | Self::Unnamed => Met::Problem(403, "role-forbidden"),
            Self::Revoked => Met::Problem(401, "certificate-revoked"),
            Self::Nobody => Met::Problem(401, "client-certificate-required"),
            Self::Untrusted => Met::Handshake,
        }
    }
}

async fn met(client: &Client, plane: &TestPlane, route: &Route) -> Met {
    let method = reqwest::Method::from_bytes(route.method.as_bytes()).unwrap();
    let request = client.request(method, plane.url(&example(route, "host-02"))).json(&json!({}));
    let Ok(response) = request.send().await else { return Met::Handshake };
    let status = response.status().as_u16();
    if !matches!(status, 401 | 403) {
        assert_ne!(status, 405, "{} {}", route.method, route.path);
        return Met::Served;
    }
    let code = problem(response).await;
    let known = ["role-forbidden", "certificate-revoked", "client-certificate-required"];
    Met::Problem(status, known.into_iter().find(|known| *known == code).unwrap())
}

fn callers(plane: &TestPlane) -> Vec<(String, Caller, Client)> {
    let ours = &plane.fleet.authority;
    let uri = |subject: &str| format!("spiffe://demo/{subject}");
    let mut callers = vec![("nobody".to_owned(), Caller::Nobody, client(ours, None))];
    let subjects = [
        (Role::Host, "host/host-01", "host/gone"),
        (Role::Operator, "operator/alice", "operator/gone"),
        (Role::Viewer, "viewer/bob", "viewer/gone"),
    ];
    for (role, subject, gone) in subjects {
        let uris = [uri(subject)];
        let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
        let foreign = Authority::new().issue(&uris);
        let expired = ours.issue_expired(&uris);
        let own = Authority::self_signed(&uris);
        callers.push((subject.to_owned(), Caller::Is(role), plane.client(subject)));
        callers.push((gone.to_owned(), Caller::Revoked, plane.client(gone)));
        callers.push((
            format!("foreign {subject}"),
            Caller::Untrusted,
            client(ours, Some(&foreign)),
        ));
        callers.push((
            format!("expired {subject}"),
            Caller::Untrusted,
            client(ours, Some(&expired)),
        ));
        callers.push((
            format!("self-signed {subject}"),
            Caller::Untrusted,
            client(ours, Some(&own)),
        ));
    }
    for uris in [
        &[][..],
        &["spiffe://demo/operator/a", "spiffe://demo/host/host-01"],
        &["spiffe://demo/operator/a", "https://demo/operator/a"],
        &["spiffe://other/operator/alice"],
        &["spiffe://demo/admin/alice"],
        &["spiffe://demo/operator/alice/x"],
    ] {
        let certificate = ours.issue(uris);
        let name = format!("a certificate with {uris:?}");
        callers.push((name, Caller::Unnamed, client(ours, Some(&certificate))));
    }
    callers
}

fn revoked() -> serde_json::Value {
    let not_before = wavegate_control_plane::clock::wall().plus_secs(3600);
    let revoked = ["host/gone", "operator/gone", "viewer/gone"]
        .map(|subject| json!({ "subject": subject, "not_before": not_before, "reason": null }));
    json!(revoked)
}

/// S2: every route with every caller is served, or refused as the table says.
#[tokio::test(flavor = "multi_thread")]
async fn s2_every_route_is_closed_to_every_caller_it_does_not_name() {
    let plane = TestPlane::with_release(&Plan { revoked: revoked(), ..Plan::new(1, "r1") }).await;
    let gone = plane.client("viewer/gone");
    let is_revoked =
        async || gone.get(plane.url("/v1/status")).send().await.unwrap().status() == 401;
    plane.until("the revocations hold", is_revoked).await;
    for (name, caller, client) in callers(&plane) {
        for route in ROUTES {
            let met = met(&client, &plane, route).await;
            assert_eq!(met, caller.meets(route), "{} {} as {name}", route.method, route.path);
        }
        if matches!(caller, Caller::Nobody) {
            // A path that is none tells nobody that it is none.
            let nowhere = client.get(plane.url("/v1/nothing")).send().await.unwrap();
            assert_eq!(problem(nowhere).await, "client-certificate-required");
        }
    }
}

/// A viewer changes nothing: what is not a reading route is closed, and so is what adopts a release.
#[tokio::test]
async fn s2_a_viewer_may_use_no_route_that_writes() {
    let writing = |route: &&Route| {
        let Access::Roles(roles) = route.access else { return false };
        roles.contains(&Role::Viewer) && route.method != "GET"
    };
    let open: Vec<&str> = ROUTES.iter().filter(writing).map(|route| route.path).collect();
    assert_eq!(open, ["/v1/releases/plan"], "it answers what would happen, and nothing does");
}

/// S7: a host's certificate, with every other host's name in every place where a name may stand.
#[tokio::test(flavor = "multi_thread")]
async fn s7_no_route_serves_one_host_in_the_name_of_another() {
    let plan =
        Plan { apart: true, hosts: vec!["host-01", "host-02", "host-03"], ..Plan::new(1, "r1") };
    let plane = TestPlane::with_release(&plan).await;
    let first = plane.client("host/host-01");
    for other in ["host-02", "host-03"] {
        for route in ROUTES.iter().filter(|route| route.path.contains("{host}")) {
            let response =
                plane.send(&first, route.method, &example(route, other), &json!({})).await;
            assert_eq!(
                problem(response).await,
                "role-forbidden",
                "{} {}",
                route.method,
                route.path
            );
        }
        let path = format!("/v1/agent/rollouts/stable@r1?host={other}");
        assert_eq!(plane.get(&first, &path).await["entry"]["host"], "host-01");

        let theirs = plane.client(&format!("host/{other}"));
        let proof = plane.get(&theirs, "/v1/agent/rollouts/stable@r1").await;
        let offered = plane.send(&first, "POST", "/v1/agent/rollouts", &proof).await;
        assert_eq!(problem(offered).await, "not-your-host");

        let opened = plane.send(&first, "POST", "/v1/agent/events", &opened_journal(other)).await;
        assert_eq!(problem(opened).await, "not-your-host");

        let (closure, asset) = (plan.closure_of(other), plan.content_of(other));
        let paths = [("closures", BlobId::of(&closure)), ("assets", BlobId::of(asset.as_bytes()))];
        for (folder, id) in paths {
            let path = plane.url(&format!("/v1/{folder}/{id}"));
            assert_eq!(theirs.get(&path).send().await.unwrap().status(), 200, "{folder}");
            assert_eq!(problem(first.get(&path).send().await.unwrap()).await, "role-forbidden");
        }
    }
    // A name in a heartbeat is one of the fields that nobody reads.
    let mut named = heartbeat();
    named["host"] = json!("host-02");
    assert_eq!(plane.send(&first, "POST", "/v1/agent/heartbeat", &named).await.status(), 200);
    let operator = plane.client("operator/alice");
    assert_eq!(plane.get(&operator, "/v1/hosts/host-01").await["seen"], "online");
    assert_eq!(plane.get(&operator, "/v1/hosts/host-02").await["seen"], "never");
}

/// An operator with a scope acts within it, on whichever route; the scope is the adopted release's.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_acts_only_on_the_channels_of_their_scope() {
    let scopes = json!({ "alice": { "channels": ["stable"] }, "eve": { "channels": [] } });
    let plane = TestPlane::with_release(&Plan { operators: scopes, ..Plan::new(1, "r1") }).await;
    let [alice, eve, bob] =
        ["operator/alice", "operator/eve", "operator/bob"].map(|s| plane.client(s));
    let held = async || {
        let path = "/v1/rollouts/stable@r1/pause";
        plane.send(&eve, "POST", path, &json!({ "reason": "x" })).await.status() == 403
    };
    plane.until("the scopes hold", held).await;
    let verbs = ROUTES.iter().filter(|route| {
        matches!(route.access, Access::Roles([Role::Operator])) && !route.path.contains("/blobs/")
    });
    for route in verbs {
        let send = async |client: &Client| {
            let body = json!({ "reason": "because", "provider_state": "off", "fleet": "", "fleet_sig": { "schema_version": 1, "signatures": [] }, "rollouts": [], "document": "", "signatures": [] });
            let response =
                plane.send(client, route.method, &example(route, "host-01"), &body).await;
            if response.status() == 403 { problem(response).await } else { String::new() }
        };
        // The whole fleet's.
        let is_release = ["/v1/releases", "/v1/trust"].contains(&route.path);
        assert_eq!(send(&eve).await, "role-forbidden", "{} {}", route.method, route.path);
        assert_eq!(send(&alice).await.is_empty(), !is_release, "{} {}", route.method, route.path);
        assert_eq!(send(&bob).await, "", "{} {}: nobody narrowed it", route.method, route.path);
    }
    let body = json!({ "reason": "x" });
    let elsewhere = plane.send(&alice, "POST", "/v1/rollouts/edge@r1/pause", &body);
    assert_eq!(problem(elsewhere.await).await, "role-forbidden");
    // The next release says otherwise.
    plane.offer(&Plan::new(2, "r1")).await;
    let hold =
        async || plane.send(&eve, "PUT", "/v1/hosts/host-01/hold", &body).await.status() == 200;
    plane.until("the scope is gone", hold).await;
}

/// Events that open a journal with the record of `host`.
fn opened_journal(host: &str) -> serde_json::Value {
    json!({
        "rollout_id": "stable@r1", "journal_id": "00000000-0000-4000-8000-000000000009",
        "replay": false,
        "events": [{ "seq": 1, "at": wavegate_control_plane::clock::wall(), "event": {
            "kind": "journal_opened", "snapshot": {
                "rollout_id": "stable@r1", "host": host, "channel": "stable", "wave": 0,
                "state": "pending", "state_since": wavegate_control_plane::clock::wall(),
                "target_closure": BlobId::of(b"x").to_string(), "prior_closure": null,
                "current_closure": null, "attempt": 0, "journal_id": null, "last_seq": 0,
                "dispatched_at": null, "dispatch_acked_at": null, "activation_started_at": null,
                "activation_completed_at": null, "converged_at": null, "failed_at": null,
                "failure": null, "degraded_since": null, "probes": [], "synthetic": false,
            },
        } }],
    })
}
