//! Keys and certificates of one small fleet, made for one test.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A CA of the test's own.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn host(&self, fleet: &str, host: &str) -> Leaf {
        let uri = format!("spiffe://{fleet}/host/{host}");
        self.leaf(vec![SanType::URI(uri.try_into().unwrap())])
    }

    pub(crate) fn server(&self) -> Leaf {
        self.leaf(vec![SanType::IpAddress([127, 0, 0, 1].into())])
    }

    /// A host's certificate with `left` before its end, of which two thirds of the life are over.
    pub(crate) fn aged_host(&self, fleet: &str, host: &str, left: Duration) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let now = SystemTime::now();
        let params = host_params(fleet, host, now - left * 9, now + left);
        Leaf { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// What an issuing control plane answers.
    pub(crate) fn sign(&self, fleet: &str, host: &str, csr_pem: &str) -> String {
        let csr = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        assert!(csr.params.subject_alt_names.is_empty(), "an agent asks for no name");
        let now = SystemTime::now();
        let params = host_params(fleet, host, now, now + Duration::from_secs(3600));
        params.signed_by(&csr.public_key, &self.issuer).unwrap().pem()
    }

    fn leaf(&self, names: Vec<SanType>) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        Leaf { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// What a server that asks for our client certificates needs.
    pub(crate) fn server_config(&self) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        // A host that joins has no certificate yet.
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        )
        .allow_unauthenticated()
        .build()
        .unwrap();
        let leaf = self.server();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![leaf.certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

impl Leaf {
    /// Writes `<name>.pem` and `<name>.key`.
    pub(crate) fn write(&self, dir: &Path, name: &str) {
        std::fs::write(dir.join(format!("{name}.pem")), self.certificate.pem()).unwrap();
        let key = dir.join(format!("{name}.key"));
        std::fs::write(&key, self.key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    }
}

fn host_params(
    fleet: &str,
    host: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    let uri = format!("spiffe://{fleet}/host/{host}");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    (params.not_before, params.not_after) = (not_before.into(), not_after.into());
    params
}
