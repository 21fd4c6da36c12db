//! Mutual TLS with the certificates this tool issues.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::exit::ExitReason;
use crate::keys::ca::{CertificateAuthority, Issued, Role};

fn authority() -> CertificateAuthority {
    CertificateAuthority::generate("demo".parse().unwrap(), SystemTime::now()).unwrap()
}

fn acceptor(authority: &CertificateAuthority, server: &Issued) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(authority.certificate_pem())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![der(&server.certificate_pem)],
            PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Accepts connections one after the other; each that gets through TLS is answered `{"ok":true}`.
async fn serve(acceptor: TlsAcceptor) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _request = stream.read(&mut request).await;
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"ok\":true}";
            let _written = stream.write_all(answer.as_bytes()).await;
            let _closed = stream.shutdown().await;
        }
    });
    format!("https://localhost:{port}")
}

fn connection(url: &str, folder: &Path, ca: &str, identity: &str) -> Connection {
    let path = |name: &str| folder.join(name);
    let identity = (path(&format!("{identity}.pem")), path(&format!("{identity}.key")));
    Connection {
        url: url.parse().unwrap(),
        security: Security::Tls { ca: path(ca), identity: Some(identity) },
    }
}

#[tokio::test]
async fn both_sides_believe_the_fleets_authority_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let now = SystemTime::now();
    let role = Role::Operator("alice".parse().unwrap());
    ours.issue(&role, now).unwrap().write(folder.path(), "ours").unwrap();
    theirs.issue(&role, now).unwrap().write(folder.path(), "theirs").unwrap();
    std::fs::write(folder.path().join("ours-ca.pem"), ours.certificate_pem()).unwrap();
    std::fs::write(folder.path().join("theirs-ca.pem"), theirs.certificate_pem()).unwrap();
    let server = ours.issue(&Role::ControlPlane(Vec::new()), now).unwrap();
    let url = serve(acceptor(&ours, &server)).await;
    for (ca, identity, accepted) in [
        ("ours-ca.pem", "ours", true),
        ("theirs-ca.pem", "ours", false),
        ("ours-ca.pem", "theirs", false),
    ] {
        let client = ApiClient::new(&connection(&url, folder.path(), ca, identity)).unwrap();
        match client.get::<Value>("/v1/status", &[]).await {
            Ok(answer) => assert!(accepted && answer["ok"] == true, "{ca} {identity}"),
            Err(error) => {
                assert!(!accepted, "{ca} {identity}: {error}");
                assert_eq!(error.exit_reason(), ExitReason::Unreachable, "{error}");
            }
        }
    }
}
