//! What is in the certificates.

use x509_parser::prelude::*;

use super::*;

struct Seen {
    names: Vec<String>,
    client: bool,
    server: bool,
    days: i64,
    not_before: i64,
    is_ca: bool,
}

fn look(pem: &str) -> Seen {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let alternative = certificate.subject_alternative_name().unwrap().unwrap();
    let names = alternative.value.general_names.iter().map(|name| match name {
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => format!("{} address bytes", bytes.len()),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => panic!("{name}"),
    });
    let names = names.collect();
    let usage = certificate.extended_key_usage().unwrap().map(|usage| usage.value);
    let validity = certificate.validity();
    Seen {
        names,
        client: usage.is_some_and(|usage| usage.client_auth),
        server: usage.is_some_and(|usage| usage.server_auth),
        days: (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400,
        not_before: validity.not_before.timestamp(),
        is_ca: certificate.is_ca(),
    }
}

fn authority(now: SystemTime) -> CertificateAuthority {
    CertificateAuthority::generate("demo".parse().unwrap(), now).unwrap()
}

#[test]
fn a_role_is_one_spiffe_uri_and_a_client_certificate() {
    let now = SystemTime::now();
    let authority = authority(now);
    for (role, uri) in [
        (Role::Host("web-01".parse().unwrap()), "spiffe://demo/host/web-01"),
        (Role::Operator("alice".parse().unwrap()), "spiffe://demo/operator/alice"),
        (Role::Viewer("bob".parse().unwrap()), "spiffe://demo/viewer/bob"),
    ] {
        let seen = look(&authority.issue(&role, now).unwrap().certificate_pem);
        assert_eq!(seen.names, [uri]);
        assert!(seen.client && !seen.server && !seen.is_ca);
        assert_eq!(seen.days, 365);
        let issued_at = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seen.not_before.unsigned_abs(), issued_at);
    }
}

#[test]
fn the_control_plane_has_a_server_certificate_for_this_machine_and_its_names() {
    let now = SystemTime::now();
    let role = Role::ControlPlane(vec!["cp.example".to_owned(), "localhost".to_owned()]);
    let seen = look(&authority(now).issue(&role, now).unwrap().certificate_pem);
    assert_eq!(seen.names, ["localhost", "4 address bytes", "16 address bytes", "cp.example"]);
    assert!(seen.server && !seen.client && !seen.is_ca);
}

#[test]
fn an_authority_read_from_its_folder_knows_its_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority(SystemTime::now());
    made.write(folder.path()).unwrap();
    let seen = look(made.certificate_pem());
    assert!(seen.is_ca && (3_650..3_660).contains(&seen.days));
    let read = CertificateAuthority::read(folder.path()).unwrap();
    assert_eq!(read.fleet().as_str(), "demo");
    let role = Role::Host("a".parse().unwrap());
    let issued = read.issue(&role, SystemTime::now()).unwrap();
    let (_, authority) = parse_x509_pem(made.certificate_pem().as_bytes()).unwrap();
    let (_, leaf) = parse_x509_pem(issued.certificate_pem.as_bytes()).unwrap();
    let (authority, leaf) = (authority.parse_x509().unwrap(), leaf.parse_x509().unwrap());
    assert!(leaf.verify_signature(Some(authority.public_key())).is_ok());
}

/// What the authority in `folder` issues, with its own certificate behind it where it is an intermediate.
fn chain(
    folder: &Path,
    role: &Role,
    between: &[&str],
) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;

    let authority = CertificateAuthority::read(folder).unwrap();
    let leaf = authority.issue(role, SystemTime::now()).unwrap().certificate_pem;
    let pems = std::iter::once(leaf.as_str()).chain(between.iter().copied());
    pems.map(|pem| rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .collect()
}

/// What the control plane issues is believed as a client and never as a server: whoever takes the
/// issuing key cannot pass for the control plane.
#[test]
fn an_intermediate_makes_clients_and_no_servers() {
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

    let (now, folder) = (SystemTime::now(), tempfile::tempdir().unwrap());
    let root = authority(now);
    let issued = root.intermediate(now, 30).unwrap();
    issued.write(folder.path(), "ca").unwrap();
    let between = [issued.certificate_pem.as_str()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.certificate_pem().as_bytes()).unwrap()).unwrap();
    let (roots, provider) =
        (std::sync::Arc::new(roots), std::sync::Arc::new(rustls::crypto::ring::default_provider()));
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
        roots.clone(),
        provider.clone(),
    );
    let servers = rustls::client::WebPkiServerVerifier::builder_with_provider(roots, provider);
    let (clients, servers) = (clients.build().unwrap(), servers.build().unwrap());

    let host = chain(folder.path(), &Role::Host("web-01".parse().unwrap()), &between);
    clients.verify_client_cert(&host[0], &host[1..], UnixTime::now()).unwrap();
    for name in ["localhost", "127.0.0.1", "cp.example"] {
        let role = Role::ControlPlane(vec!["cp.example".to_owned()]);
        let server = chain(folder.path(), &role, &between);
        let name = ServerName::try_from(name).unwrap();
        let verified =
            servers.verify_server_cert(&server[0], &server[1..], &name, &[], UnixTime::now());
        assert!(verified.is_err(), "{name:?}");
    }
    // It has none below it, and says so.
    let below = CertificateAuthority::read(folder.path()).unwrap().intermediate(now, 30);
    assert!(matches!(below, Err(CaError::NoneBelow)));
}
