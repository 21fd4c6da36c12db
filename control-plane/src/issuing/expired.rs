//! Certificates that were good when they ended: a host that slept through its renewal is still the host
//! with that key.
//!
//! Not here: for how long, and who is in the fleet.

use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use wavegate_proto::enroll::HostKey;
use wavegate_proto::ids::FleetName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::server::identity::{Identity, read_identity};

/// The most certificates of a chain.
const MAX_CHAIN: usize = 8;

/// Whom a chain names, and with which key, as of the moment its leaf ended. Whoever shows it has proven
/// nothing by it: certificates are public.
///
/// # Errors
/// A sentence: the chain cannot be read, leads to another root, or names nobody of the fleet.
pub fn identity_at_the_end(
    chain_pem: &str,
    verifier: &dyn ClientCertVerifier,
    fleet: &FleetName,
) -> Result<(Identity, HostKey), String> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain_pem.as_bytes()).take(MAX_CHAIN + 1).collect();
    let chain: Vec<_> =
        chain.into_iter().collect::<Result<_, _>>().map_err(|_| "it is no PEM".to_owned())?;
    let Some((leaf, others)) = chain.split_first().filter(|_| chain.len() <= MAX_CHAIN) else {
        return Err(format!("it must have 1 to {MAX_CHAIN} certificates"));
    };
    let identity = read_identity(leaf, fleet).map_err(|e| e.to_string())?;
    let end_secs = u64::try_from(identity.not_after.unix_millis() / 1000).unwrap_or(0);
    let end = UnixTime::since_unix_epoch(Duration::from_secs(end_secs));
    verifier
        .verify_client_cert(leaf, others, end)
        .map_err(|_| "it does not lead to a root of this fleet".to_owned())?;
    let (_, certificate) =
        X509Certificate::from_der(leaf).map_err(|_| "it cannot be read".to_owned())?;
    let key = HostKey::from_spki_der(certificate.public_key().raw).map_err(|e| e.to_string())?;
    Ok((identity, key))
}
