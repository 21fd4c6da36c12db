//! Who is calling, by the certificate alone: exactly one SPIFFE URI in the SAN names role and name.
//!
//! Not here: whether the chain is trusted (see [`super::tls`]), what the role may do (see
//! [`super::table`]).

use std::fmt;
use std::sync::Arc;

use wavegate_proto::ids::{FleetName, HostName, PersonName};
use wavegate_proto::time::Timestamp;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What a caller may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// An agent.
    Host,
    /// May change things.
    Operator,
    /// Reads only.
    Viewer,
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The agent of a host.
    Host(HostName),
    /// A person or program that may change things.
    Operator(PersonName),
    /// A person or program that reads.
    Viewer(PersonName),
}

impl Caller {
    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Host(_) => Role::Host,
            Self::Operator(_) => Role::Operator,
            Self::Viewer(_) => Role::Viewer,
        }
    }

    /// As revocations and actors name it: `host/web-07`.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Host(name) => format!("host/{name}"),
            Self::Operator(name) => format!("operator/{name}"),
            Self::Viewer(name) => format!("viewer/{name}"),
        }
    }
}

/// A caller and the validity of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub caller: Caller,
    /// From when the certificate is valid: the time of its issue.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What a connection showed, read once when it opens.
#[derive(Debug, Clone)]
pub enum Peer {
    /// No certificate.
    Anonymous,
    /// A certificate of ours that names nobody here, and why.
    Unacceptable(Arc<str>),
    /// A caller.
    Known(Arc<Identity>),
    /// The status listener: anybody who can reach it, reading.
    Local,
}

/// Why a certificate names nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No URI, or several.
    #[error("the certificate names {0} URIs, it must name exactly one")]
    Uris(usize),
    /// Not `spiffe://<fleet>/<role>/<name>` of this fleet.
    #[error("the certificate names {0:?}, which is no role in this fleet")]
    Foreign(String),
}

impl Peer {
    /// Who a leaf certificate of a trusted chain names.
    #[must_use]
    pub fn of_certificate(der: &[u8], fleet: &FleetName) -> Self {
        match read_identity(der, fleet) {
            Ok(identity) => Self::Known(Arc::new(identity)),
            Err(error) => Self::Unacceptable(error.to_string().into()),
        }
    }
}

/// Reads the identity from a certificate, DER.
///
/// # Errors
/// When it names nobody in this fleet.
pub fn read_identity(der: &[u8], fleet: &FleetName) -> Result<Identity, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
    let mut uris = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            uris.extend(names.general_names.iter().filter_map(uri));
        }
    }
    let [uri] = uris.as_slice() else {
        return Err(IdentityError::Uris(uris.len()));
    };
    let caller = caller(uri, fleet)
        .ok_or_else(|| IdentityError::Foreign(uri.chars().take(200).collect()))?;
    let validity = certificate.validity();
    let time = |secs: i64| Timestamp::from_unix_millis(secs.saturating_mul(1000));
    Ok(Identity {
        caller,
        not_before: time(validity.not_before.timestamp()),
        not_after: time(validity.not_after.timestamp()),
    })
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name { Some(uri) } else { None }
}

fn caller(uri: &str, fleet: &FleetName) -> Option<Caller> {
    let path = uri.strip_prefix("spiffe://")?.strip_prefix(fleet.as_str())?.strip_prefix('/')?;
    let (role, name) = path.split_once('/')?;
    match role {
        "host" => name.parse().ok().map(Caller::Host),
        "operator" => name.parse().ok().map(Caller::Operator),
        "viewer" => name.parse().ok().map(Caller::Viewer),
        _ => None,
    }
}

/// When a certificate, DER, expires; `None` when it cannot be read.
#[must_use]
pub fn expires_at(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let secs = certificate.validity().not_after.timestamp();
    Some(Timestamp::from_unix_millis(secs.saturating_mul(1000)))
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn identity(uris: &[&str]) -> Result<Identity, IdentityError> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        read_identity(certificate.der(), &"demo".parse().unwrap())
    }

    #[test]
    fn the_role_is_the_one_spiffe_uri_of_this_fleet() {
        let caller = |uri| identity(&[uri]).map(|identity| identity.caller.subject());
        assert_eq!(caller("spiffe://demo/host/web-07").unwrap(), "host/web-07");
        assert_eq!(caller("spiffe://demo/operator/alice").unwrap(), "operator/alice");
        assert_eq!(caller("spiffe://demo/viewer/bob").unwrap(), "viewer/bob");
        for foreign in [
            "spiffe://other/host/web-07",
            "spiffe://demo2/host/web-07",
            "spiffe://demo/root/web-07",
            "spiffe://demo/host/web-07/x",
            "spiffe://demo/host/",
            "spiffe://demo/host/WEB",
            "https://demo/host/web-07",
        ] {
            assert!(matches!(identity(&[foreign]), Err(IdentityError::Foreign(_))), "{foreign}");
        }
        assert_eq!(identity(&[]), Err(IdentityError::Uris(0)));
        let two = ["spiffe://demo/host/a", "spiffe://demo/operator/a"];
        assert_eq!(identity(&two), Err(IdentityError::Uris(2)));
    }
}
