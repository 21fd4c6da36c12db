//! The fleet's certificate authority: ECDSA P-256, roles as SPIFFE URIs, `notBefore` = time of issue.
//!
//! The fleet's name stands in the authority's own certificate (`spiffe://<fleet>`), so issuing needs
//! nothing but the authority's folder.
//!
//! Not here: what a role may do (the control plane).

pub mod intermediate;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use wavegate_proto::ids::{FleetName, HostName, PersonName};
use x509_parser::extensions::GeneralName;

use super::file::{self, FileAccessError};

const DAY: Duration = Duration::from_secs(86_400);
const CA_DAYS: u32 = 3_653;
const CERTIFICATE_DAYS: u32 = 365;

/// Names that every control-plane certificate has.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileAccessError),
    /// The library said no.
    #[error("cannot make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What was issued cannot be used.
    #[error("cannot use the certificate that was made: {0}")]
    Unusable(String),
    /// An authority that was made to have none below it.
    #[error("this authority may not have another below it")]
    NoneBelow,
    /// The folder's `ca.pem` is not one of ours.
    #[error("{path} is no certificate authority of a fleet: {reason}", path = path.display())]
    NotAnAuthority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Whom a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// An agent.
    Host(HostName),
    /// A person who may change things.
    Operator(PersonName),
    /// A person who may look.
    Viewer(PersonName),
    /// The control plane, with the DNS names and addresses it is reached by beside this machine's.
    ControlPlane(Vec<String>),
}

impl Role {
    /// The name of its files without suffix: `host-web-01`, `operator-alice`, `control-plane`.
    #[must_use]
    pub fn file_stem(&self) -> String {
        match self {
            Self::Host(name) => format!("host-{name}"),
            Self::Operator(name) => format!("operator-{name}"),
            Self::Viewer(name) => format!("viewer-{name}"),
            Self::ControlPlane(_) => "control-plane".to_owned(),
        }
    }

    fn names(&self, fleet: &FleetName) -> Result<Vec<SanType>, rcgen::Error> {
        let uri = match self {
            Self::Host(name) => format!("spiffe://{fleet}/host/{name}"),
            Self::Operator(name) => format!("spiffe://{fleet}/operator/{name}"),
            Self::Viewer(name) => format!("spiffe://{fleet}/viewer/{name}"),
            Self::ControlPlane(names) => {
                let mut all: Vec<&str> = LOCAL_NAMES.to_vec();
                all.extend(names.iter().map(String::as_str).filter(|n| !LOCAL_NAMES.contains(n)));
                return all.into_iter().map(dns_or_address).collect();
            }
        };
        Ok(vec![SanType::URI(uri.try_into()?)])
    }

    fn usage(&self) -> ExtendedKeyUsagePurpose {
        match self {
            Self::Host(_) | Self::Operator(_) | Self::Viewer(_) => {
                ExtendedKeyUsagePurpose::ClientAuth
            }
            Self::ControlPlane(_) => ExtendedKeyUsagePurpose::ServerAuth,
        }
    }
}

fn dns_or_address(name: &str) -> Result<SanType, rcgen::Error> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into()?)),
    }
}

/// A certificate with its private key, PEM.
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: String,
}

impl Issued {
    /// Writes `<stem>.pem` and `<stem>.key` (0600) into `folder`; returns both paths.
    ///
    /// # Errors
    /// When one is there already, or the disk says no.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<[PathBuf; 2], FileAccessError> {
        let certificate = folder.join(format!("{stem}.pem"));
        let key = folder.join(format!("{stem}.key"));
        file::write_private(&key, &self.key_pem)?;
        file::write_public(&certificate, &self.certificate_pem)?;
        Ok([certificate, key])
    }
}

/// A fleet's certificate authority.
pub struct CertificateAuthority {
    fleet: FleetName,
    certificate_pem: String,
    key: KeyPair,
}

impl CertificateAuthority {
    /// Makes one for `fleet`, valid for ten years from `now`.
    ///
    /// # Errors
    /// When the library says no.
    pub fn generate(fleet: FleetName, now: SystemTime) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let mut params = params(&format!("wavegate {fleet} CA"), now, CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{fleet}").try_into()?)];
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { fleet, certificate_pem, key })
    }

    /// Reads `ca.pem` and `ca.key` in `folder`.
    ///
    /// # Errors
    /// When they are not there or not a fleet's.
    pub fn read(folder: &Path) -> Result<Self, CaError> {
        let path = folder.join("ca.pem");
        let certificate_pem = file::read_text(&path)?;
        let fleet = fleet_of(&certificate_pem)
            .map_err(|reason| CaError::NotAnAuthority { path, reason })?;
        let key = KeyPair::from_pem(&file::read_private(&folder.join("ca.key"))?)?;
        Ok(Self { fleet, certificate_pem, key })
    }

    /// Writes `ca.pem` and `ca.key` (0600) into `folder`; returns both paths.
    ///
    /// # Errors
    /// When one is there already, or the disk says no.
    pub fn write(&self, folder: &Path) -> Result<[PathBuf; 2], FileAccessError> {
        let own = Issued {
            certificate_pem: self.certificate_pem.clone(),
            key_pem: self.key.serialize_pem(),
        };
        own.write(folder, "ca")
    }

    /// Its fleet.
    #[must_use]
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate for `role`, valid for a year from `now`.
    ///
    /// # Errors
    /// When a name is no name, or the library says no.
    pub fn issue(&self, role: &Role, now: SystemTime) -> Result<Issued, CaError> {
        let key = KeyPair::generate()?;
        let mut params = params(&role.file_stem(), now, CERTIFICATE_DAYS);
        params.subject_alt_names = role.names(&self.fleet)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![role.usage()];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key)?;
        let certificate_pem = params.signed_by(&key, &issuer)?.pem();
        Ok(Issued { certificate_pem, key_pem: key.serialize_pem() })
    }
}

fn params(common_name: &str, now: SystemTime, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = now.into();
    params.not_after = (now + DAY * days).into();
    params
}

/// The fleet that an authority's certificate names.
fn fleet_of(pem: &str) -> Result<FleetName, String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|e| e.to_string())?;
    let certificate = pem.parse_x509().map_err(|e| e.to_string())?;
    let names = certificate.subject_alternative_name().map_err(|e| e.to_string())?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let trust_domain = names.iter().find_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        uri.strip_prefix("spiffe://")
    });
    let trust_domain = trust_domain.ok_or("it names no spiffe://FLEET")?;
    FleetName::new(trust_domain).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
