//! What a host sends that joins, or that renews: a token, a signing request, a chain that has expired.

use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use wavegate_control_plane::issuing::csr::proven_key;
use wavegate_control_plane::issuing::expired::identity_at_the_end;
use wavegate_proto::enroll::{Claims, EnrollToken, mint};
use wavegate_proto::signing::PrivateKey;
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::{EnrollTrust, TrustFile, TrustedKey};

const IAT: i64 = 1_800_000_000;

fn key() -> PrivateKey {
    PrivateKey::from_seed([8; 32])
}

fn claims() -> Claims {
    Claims {
        iss: "demo".parse().unwrap(),
        aud: "demo".parse().unwrap(),
        sub: Some("web-01".parse().unwrap()),
        any_of: None,
        pattern: None,
        count: None,
        iat: IAT,
        nbf: None,
        exp: IAT + 600,
        jti: "t-1".parse().unwrap(),
        nonce: None,
        cnf: None,
    }
}

pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let group =
        Claims { sub: None, pattern: Some("web-*".parse().unwrap()), count: Some(3), ..claims() };
    [claims(), group].map(|claims| mint(&claims, &key()).unwrap().into_bytes()).to_vec()
}

pub(crate) fn token(bytes: &[u8]) -> bool {
    let keys = vec![TrustedKey::new(key().public_key())];
    let mut trust = TrustFile::new("demo".parse().unwrap(), 1, keys.clone(), Vec::new());
    trust.enroll = Some(EnrollTrust { keys });
    let now = Timestamp::from_unix_millis(IAT * 1000);
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let _peeked = EnrollToken::names_one_host(text);
    EnrollToken::verify(text, &trust, now).is_ok()
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    let request = |algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        csr.pem().unwrap().into_bytes()
    };
    vec![request(&rcgen::PKCS_ECDSA_P256_SHA256), request(&rcgen::PKCS_ED25519)]
}

pub(crate) fn request(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|pem| proven_key(pem).is_ok())
}

/// An authority, and the chain of a host below it.
static CHAIN: LazyLock<(Arc<dyn ClientCertVerifier>, String)> = LazyLock::new(|| {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let issuer = Issuer::new(params, authority);
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://demo/host/web-01".try_into().unwrap())];
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(root.der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    (verifier.build().unwrap(), leaf.pem())
});

pub(crate) fn chains() -> Vec<Vec<u8>> {
    vec![CHAIN.1.clone().into_bytes()]
}

pub(crate) fn chain(bytes: &[u8]) -> bool {
    let fleet = "demo".parse().unwrap();
    std::str::from_utf8(bytes).is_ok_and(|pem| identity_at_the_end(pem, &*CHAIN.0, &fleet).is_ok())
}
