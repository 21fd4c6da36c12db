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
