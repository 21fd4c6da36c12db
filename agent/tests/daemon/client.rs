//! The client alone: whom it speaks to, and what it makes of answers.

use wavegate_agent::client::{ClientError, ControlPlane, Credentials};
use wavegate_proto::ids::BlobId;

use super::agent::Host;
use super::lies::Lie;
use super::pki::Ca;
use super::release::trust;

fn client(host: &Host) -> ControlPlane {
    let [ca, certificate, key] = ["ca.pem", "host.pem", "host.key"].map(|name| host.path(name));
    let credentials = Credentials::read(Some(&ca), &trust(), &certificate, &key).unwrap();
    ControlPlane::new(&host.control_plane.url(), &credentials).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_of_another_ca_is_not_spoken_to() {
    let host = Host::new().await;
    std::fs::write(host.path("ca.pem"), Ca::new().pem()).unwrap();
    let error = client(&host).poll_dispatch(1).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error}");
    assert_eq!(host.control_plane.world().dispatches_served, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let host = Host::new().await;
    host.control_plane.lie("blob", Lie::Redirect("/v1/agent/dispatch"));
    let error = client(&host).closure(BlobId::of(b"x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Status { status: 307, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_typed_and_wrong_bytes_are_none_of_the_answer() {
    let host = Host::new().await;
    let client = client(&host);
    let unknown = client.closure(BlobId::of(b"x")).await.unwrap_err();
    assert_eq!(unknown.code(), Some("unknown-blob"));
    host.control_plane.lie("blob", Lie::Bytes(b"y".to_vec()));
    let wrong = client.closure(BlobId::of(b"x")).await.unwrap_err();
    assert!(matches!(wrong, ClientError::HashMismatch { .. }), "{wrong}");
    host.control_plane.lie("heartbeat", Lie::Endless);
    host.control_plane.lie("dispatch", Lie::Endless);
    let endless = client.poll_dispatch(1).await.unwrap_err();
    assert!(matches!(endless, ClientError::TooLarge { .. }), "{endless}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_https_is_spoken() {
    let host = Host::new().await;
    let [ca, certificate, key] = ["ca.pem", "host.pem", "host.key"].map(|name| host.path(name));
    let credentials = Credentials::read(Some(&ca), &trust(), &certificate, &key).unwrap();
    let error = ControlPlane::new("http://127.0.0.1:1", &credentials).unwrap_err();
    assert!(matches!(error, ClientError::BadUrl(_)), "{error}");
}
