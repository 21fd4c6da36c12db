//! The host's certificates: the first by a token, the next ones in time, and in use at once.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use wavegate_agent::config::Settings;
use wavegate_proto::ids::Sha256Hash;
use wavegate_proto::wire::problem::ProblemCode;

use super::agent::Host;
use super::control_plane::World;
use super::happy::bundle;
use super::pki::Leaf;
use super::release::{FLEET, HOST, Release};

fn fingerprint(leaf: &Leaf) -> Sha256Hash {
    Sha256Hash::of(leaf.certificate.der())
}

/// A request to `path` over a connection without this certificate, and with another.
fn with_another(world: &World, path: &str, old: Sha256Hash) -> bool {
    world.requests.iter().any(|(p, leaf)| p.starts_with(path) && leaf.is_some_and(|l| l != old))
}

/// One whose certificate the agent renews.
fn renewing(host: &Host) -> Settings {
    Settings { renews: true, ..host.settings() }
}

/// One that has no certificate yet.
fn joining(host: &Host, token: &str) -> Settings {
    std::fs::write(host.path("token"), format!("{token}\n")).unwrap();
    Settings {
        cert: host.path("state/identity/host.pem"),
        key: host.path("state/identity/host.key"),
        makes_its_key: true,
        renews: true,
        token_file: Some(host.path("token")),
        ..host.settings()
    }
}

/// A9: the requests after a renewal are made with the new certificate, on new connections; the poll that is
/// parked on the old one brings its dispatch all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a9_the_next_request_has_the_new_certificate_and_no_work_is_lost() {
    let host = Host::new().await;
    let old = host.ca.aged_host(FLEET, HOST, Duration::from_secs(600));
    old.write(host.dir.path(), "host");
    let old = fingerprint(&old);
    // It is due at once, and answered when a poll is parked on the old connection.
    let agent = host.start_with(renewing(&host));
    let cp = &host.control_plane;
    cp.until("the certificate is renewed", |world| world.issued == ["renew"]).await;
    cp.until("a heartbeat with the new one", |w| with_another(w, "/v1/agent/heartbeat", old)).await;
    let parked = cp.world().requests.iter().find(|(path, _)| path == "/v1/agent/dispatch").cloned();
    assert_eq!(parked.and_then(|(_, leaf)| leaf), Some(old));
    let signed = Release::new(1, bundle("one", "one")).sign();
    let rollout = signed.rollout_id.clone();
    cp.dispatch(&signed);
    cp.until_event(&rollout, "converged").await;
    cp.until("events with the new one", |w| with_another(w, "/v1/agent/events", old)).await;
    let kinds = cp.journal(&rollout).kinds();
    assert_eq!(kinds.iter().filter(|kind| **kind == "dispatch_ack").count(), 1, "{kinds:?}");
    assert_eq!(cp.world().issued, ["renew"]);
    agent.stop().await.unwrap();
}

/// A9, for certificates that somebody else puts there: step-ca, vault, a person.
#[tokio::test(flavor = "multi_thread")]
async fn a9_a_certificate_that_is_put_there_is_taken_up_and_one_of_another_host_is_not() {
    let host = Host::new().await;
    let old = host.ca.aged_host(FLEET, HOST, Duration::from_secs(600));
    old.write(host.dir.path(), "host");
    let old = fingerprint(&old);
    let agent = host.start();
    let cp = &host.control_plane;
    cp.until("a heartbeat", |world| !world.heartbeats.is_empty()).await;
    host.ca.host(FLEET, "other").write(host.dir.path(), "host");
    let beats = cp.world().heartbeats.len();
    // It is looked at the files every two seconds, and a heartbeat is sent each second.
    cp.until("heartbeats go on", |world| world.heartbeats.len() > beats + 4).await;
    assert!(!with_another(&cp.world(), "/v1/agent/heartbeat", old));
    host.ca.host(FLEET, HOST).write(host.dir.path(), "host");
    cp.until("the new one is used", |w| with_another(w, "/v1/agent/heartbeat", old)).await;
    assert!(cp.world().issued.is_empty(), "it is not the agent's to renew");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_renewed_by_the_key_alone() {
    let host = Host::new().await;
    host.ca.aged_host(FLEET, HOST, Duration::ZERO).write(host.dir.path(), "host");
    let agent = host.start_with(renewing(&host));
    let cp = &host.control_plane;
    cp.until("it is renewed", |world| world.issued == ["expired"]).await;
    cp.until("and used", |world| !world.heartbeats.is_empty()).await;
    agent.stop().await.unwrap();
}

/// By the control plane's clock it has ended, by the host's it is only due: it is answered, and told to show one.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_ended_for_the_control_plane_is_renewed_by_the_key_alone() {
    let host = Host::new().await;
    host.ca.aged_host(FLEET, HOST, Duration::from_secs(600)).write(host.dir.path(), "host");
    let cp = &host.control_plane;
    cp.world().refuse_renewing = Some(ProblemCode::ClientCertificateRequired);
    let agent = host.start_with(renewing(&host));
    cp.until("it is renewed", |world| world.issued == ["expired"]).await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_joins_by_its_token_at_the_first_start_however_long_that_takes() {
    let host = Host::new().await;
    let cp = &host.control_plane;
    cp.world().refuse_joining = Some((ProblemCode::HostNotInFleet, 2));
    let agent = host.start_with(joining(&host, "a.b.c"));
    cp.until("a heartbeat", |world| !world.heartbeats.is_empty()).await;
    assert_eq!(cp.world().tokens, ["a.b.c", "a.b.c", "a.b.c"]);
    let mode =
        |name: &str| std::fs::metadata(host.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state/identity"), mode("state/identity/host.key")), (0o700, 0o600));
    agent.stop().await.unwrap();
    // The next start needs no token.
    let settings = joining(&host, "");
    std::fs::remove_file(host.path("token")).unwrap();
    let agent = host.start_with(settings);
    let beats = cp.world().heartbeats.len();
    cp.until("heartbeats", |world| world.heartbeats.len() > beats).await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_ends_the_agent_with_a_hint() {
    let host = Host::new().await;
    host.control_plane.world().refuse_joining = Some((ProblemCode::TokenUsed, 9));
    let agent = host.start_with(joining(&host, "a.b.c"));
    let failure = agent.task_end().await.unwrap_err();
    assert!(failure.message.contains("token-used"), "{failure}");
    assert!(failure.hint.unwrap().contains("token mint"));
}
