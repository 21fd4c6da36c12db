//! The certificates that the process itself knows: its own, and the authorities of the trust file.
//!
//! Not here: those of hosts, and signatures (see [`crate::core`]).

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{Expiry, ExpiryKind};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Context;
use super::identity::expires_at;

/// When each of them expires. An authority that cannot be read was refused when the listener was set up.
pub(super) fn certificates(context: &Context) -> Vec<Expiry> {
    let now = context.clock.wall();
    let row = |kind, name, at: Timestamp| Expiry { kind, name, at, left_secs: at.secs_since(now) };
    let certificates = context.tls.load();
    let own = certificates.server.expires_at;
    let mut rows = vec![row(ExpiryKind::ControlPlaneCertificate, "control-plane".to_owned(), own)];
    if let Some(issuer) = &certificates.issuer {
        let name = "issuing authority".to_owned();
        rows.push(row(ExpiryKind::Authority, name, issuer.not_after()));
    }
    for pem in &context.trust.chain().trust().ca_pem {
        let authorities = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
        rows.extend(
            authorities.filter_map(|der| {
                Some(row(ExpiryKind::Authority, subject(&der)?, expires_at(&der)?))
            }),
        );
    }
    rows
}

fn subject(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().to_string().chars().take(200).collect())
}
