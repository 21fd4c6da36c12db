//! Sessions that are resumed with a ticket: whoever comes back is known, and nothing that was taken away comes back.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wavegate_control_plane::clock::wall;

use crate::fleet::{Authority, Certificate, Plan};
use crate::running::{TestPlane, write_files};

/// One that keeps its tickets, and opens a connection for each question.
struct Visitor(Arc<ClientConfig>);

impl Visitor {
    fn new(plane: &TestPlane, certificate: &Certificate) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(plane.fleet.authority.pem.as_bytes()).unwrap())
            .unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        Self(Arc::new(config.with_client_auth_cert(chain, key).unwrap()))
    }

    /// One whose session was made and has been resumed.
    async fn known(plane: &TestPlane, certificate: &Certificate) -> Self {
        let visitor = Self::new(plane, certificate);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            assert_eq!(visitor.visit(plane).await.0, kind);
        }
        visitor
    }

    /// How the session came about, and the answer to a question for the status.
    async fn visit(&self, plane: &TestPlane) -> (HandshakeKind, String) {
        self.try_visit(plane).await.unwrap()
    }

    async fn try_visit(&self, plane: &TestPlane) -> std::io::Result<(HandshakeKind, String)> {
        let stream = TcpStream::connect(plane.running.https).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(self.0.clone()).connect(name, stream).await?;
        let question = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(question).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok((stream.get_ref().1.handshake_kind().unwrap(), answer))
    }
}

/// A store of sessions would be too small for a fleet: these are more than the TLS library keeps by itself.
#[tokio::test]
async fn everybody_who_comes_back_resumes_however_many_there_are() {
    let plane = TestPlane::start().await;
    let certificate = plane.fleet.authority.issue(&["spiffe://demo/viewer/bob"]);
    let visitors: Vec<Visitor> = (0..300).map(|_| Visitor::new(&plane, &certificate)).collect();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        for visitor in &visitors {
            let (seen, answer) = visitor.visit(&plane).await;
            assert_eq!(seen, kind);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_resumed_session_has_the_role_of_its_certificate() {
    let plane = TestPlane::start().await;
    let host = plane.fleet.authority.issue(&["spiffe://demo/host/host-01"]);
    let host = Visitor::new(&plane, &host);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (seen, answer) = host.visit(&plane).await;
        assert_eq!(seen, kind);
        assert!(answer.contains("role-forbidden"), "{answer}");
    }
}

/// S4: a session that is resumed is judged as one that is open.
#[tokio::test]
async fn s4_a_session_of_a_revoked_certificate_is_resumed_in_vain() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let certificate = plane.fleet.authority.issue(&["spiffe://demo/viewer/bob"]);
    let viewer = Visitor::new(&plane, &certificate);
    assert!(viewer.visit(&plane).await.1.starts_with("HTTP/1.1 200"));
    let revoked = json!([{ "subject": "viewer/bob", "not_before": wall(), "reason": null }]);
    plane.offer(&Plan { revoked, ..Plan::new(2, "r1") }).await;
    let (kind, answer) = viewer.visit(&plane).await;
    assert_eq!(kind, HandshakeKind::Resumed);
    assert!(answer.contains("certificate-revoked"), "{answer}");
}

/// What was sealed before the files changed is worth nothing.
#[tokio::test]
async fn no_session_outlives_the_files_it_was_made_with() {
    let plane = TestPlane::start().await;
    let certificate = plane.fleet.authority.issue(&["spiffe://demo/viewer/bob"]);
    let viewer = Visitor::known(&plane, &certificate).await;
    write_files(plane.dir.path(), &plane.fleet);
    plane.running.look_again();
    plane
        .until("the new certificate is in use", async || {
            viewer.visit(&plane).await.0 == HandshakeKind::Full
        })
        .await;
}

/// Nor does it bring back an authority that is believed no more.
#[tokio::test]
async fn no_session_outlives_the_authority_of_its_certificate() {
    let plane = TestPlane::start().await;
    let (other, file) = (Authority::new(), plane.dir.path().join("client-ca.pem"));
    let own = plane.fleet.authority.pem.clone();
    std::fs::write(&file, format!("{own}{}", other.pem)).unwrap();
    let client_ca = file.clone();
    let plane = plane.restart_with(|settings| settings.client_ca = Some(client_ca)).await;
    let viewer = Visitor::known(&plane, &other.issue(&["spiffe://demo/viewer/bob"])).await;
    std::fs::write(&file, own).unwrap();
    plane.running.look_again();
    plane.until("it is refused", async || viewer.try_visit(&plane).await.is_err()).await;
    assert!(viewer.try_visit(&plane).await.is_err(), "and stays so");
}
