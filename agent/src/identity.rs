//! Who this host is: what its certificate says, never what a file or the control plane says (S7).

use rustls::pki_types::CertificateDer;
use wavegate_proto::ids::{FleetName, HostName};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A host of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The fleet, the trust domain of the certificate.
    pub fleet: FleetName,
    /// The host.
    pub host: HostName,
}

/// Why a certificate does not name a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not an X.509 certificate.
    #[error("read the certificate: {0}")]
    NotX509(String),
    /// It must carry exactly one SPIFFE URI.
    #[error("find the host's name: the certificate has {0} SPIFFE URIs, it must have exactly one")]
    UriCount(usize),
    /// The URI is not that of a host.
    #[error("find the host's name: {0:?} is not spiffe://<fleet>/host/<name>")]
    NotAHost(String),
}

impl Identity {
    /// Reads `spiffe://<fleet>/host/<name>` from the certificate's alternative names.
    ///
    /// # Errors
    /// When it has none, several, or that of another role.
    pub fn of_certificate(der: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|e| IdentityError::NotX509(e.to_string()))?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|e| IdentityError::NotX509(e.to_string()))?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(spiffe_uri)
            .collect();
        let [uri] = uris.as_slice() else {
            return Err(IdentityError::UriCount(uris.len()));
        };
        Self::of_uri(uri).ok_or_else(|| IdentityError::NotAHost((*uri).to_owned()))
    }

    fn of_uri(uri: &str) -> Option<Self> {
        let (fleet, host) = uri.strip_prefix("spiffe://")?.split_once("/host/")?;
        Some(Self { fleet: fleet.parse().ok()?, host: host.parse().ok()? })
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "an enum of another crate, one kind matters")]
fn spiffe_uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) if uri.starts_with("spiffe://") => Some(uri),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s7_only_the_uri_of_a_host_names_a_host() {
        let id = Identity::of_uri("spiffe://demo/host/web-01").unwrap();
        assert_eq!((id.fleet.as_str(), id.host.as_str()), ("demo", "web-01"));
        for other in [
            "spiffe://demo/operator/alice",
            "spiffe://demo/host/",
            "spiffe://demo/host/a/host/b",
            "spiffe://demo/x/host/a",
            "https://demo/host/a",
        ] {
            assert_eq!(Identity::of_uri(other), None, "{other}");
        }
    }
}
