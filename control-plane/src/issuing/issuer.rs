//! The issuing authority: its certificate and key, and what it signs.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType, SubjectPublicKeyInfo,
};
use wavegate_proto::enroll::HostKey;
use wavegate_proto::ids::{FleetName, HostName};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::enroll::CertificateAnswer;
use x509_parser::pem::Pem;

use crate::config::IssuerSettings;

/// Whoever can read the key can be any host.
const READABLE_BY_OTHERS: u32 = 0o077;

const SERIAL_BYTES: usize = 16;

/// Why there is no issuing.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A file cannot be used.
    #[error("read {path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A certificate was not made.
    #[error("issue a certificate: {0}")]
    Issue(String),
    /// The authority's own time is over.
    #[error("issue a certificate: the issuing certificate ended {0}")]
    Expired(Timestamp),
}

impl From<rcgen::Error> for IssuerError {
    fn from(error: rcgen::Error) -> Self {
        Self::Issue(error.to_string())
    }
}

/// An issuing authority.
pub struct Issuer {
    fleet: FleetName,
    chain_pem: String,
    issuer: rcgen::Issuer<'static, KeyPair>,
    not_after: Timestamp,
    host_cert_secs: u64,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("fleet", &self.fleet).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Reads certificate and key, and sees that they belong together.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn read(settings: &IssuerSettings, fleet: &FleetName) -> Result<Self, IssuerError> {
        let cert_error = |reason: String| file_error(&settings.cert, reason);
        let chain_pem = text(&settings.cert)?;
        let key_pem = text(&settings.key)?;
        let mode = std::fs::metadata(&settings.key).map_or(0, |meta| meta.permissions().mode());
        if mode & READABLE_BY_OTHERS != 0 {
            let reason = format!("mode {:o}: others may read it; chmod 600 it", mode & 0o777);
            return Err(file_error(&settings.key, reason));
        }
        let key = KeyPair::from_pem(&key_pem)
            .map_err(|_| file_error(&settings.key, "no PKCS#8 private key in it".to_owned()))?;
        let first = Pem::iter_from_buffer(chain_pem.as_bytes()).next();
        let Some(Ok(first)) = first else { return Err(cert_error("no certificate".to_owned())) };
        let certificate = first.parse_x509().map_err(|e| cert_error(e.to_string()))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(cert_error(format!("its key is not {}", settings.key.display())));
        }
        if !certificate.is_ca() {
            return Err(cert_error("it is no authority".to_owned()));
        }
        let end_secs = certificate.validity().not_after.timestamp();
        let not_after = Timestamp::from_unix_millis(end_secs.saturating_mul(1000));
        let issuer = rcgen::Issuer::from_ca_cert_pem(&chain_pem, key)?;
        let host_cert_secs = settings.host_cert_secs;
        Ok(Self { fleet: fleet.clone(), chain_pem, issuer, not_after, host_cert_secs })
    }

    /// Until when it can issue.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// A certificate for `host` with `key`: a client of this fleet, from `now` on, never beyond the
    /// authority's own end.
    ///
    /// # Errors
    /// When that has come, or the library says no.
    pub fn issue(
        &self,
        host: &HostName,
        key: &HostKey,
        now: Timestamp,
    ) -> Result<CertificateAnswer, IssuerError> {
        let not_before = now.truncated_to_secs();
        let not_after = not_before.plus_secs(self.host_cert_secs).min(self.not_after);
        if not_after <= not_before {
            return Err(IssuerError::Expired(self.not_after));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, host.as_str());
        params.not_before = system_time(not_before).into();
        params.not_after = system_time(not_after).into();
        params.serial_number = Some(serial()?.into());
        let uri = format!("spiffe://{}/host/{host}", self.fleet);
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = SubjectPublicKeyInfo::from_der(&key.to_spki_der())?;
        let leaf = params.signed_by(&key, &self.issuer)?.pem();
        let chain_pem = format!("{leaf}{}", self.chain_pem);
        Ok(CertificateAnswer { host: host.clone(), chain_pem, not_before, not_after })
    }
}

fn text(path: &Path) -> Result<String, IssuerError> {
    std::fs::read_to_string(path).map_err(|e| file_error(path, e.to_string()))
}

fn file_error(path: &Path, reason: String) -> IssuerError {
    IssuerError::File { path: path.to_owned(), reason }
}

/// The same key is signed again and again, so the number cannot be made of it.
fn serial() -> Result<Vec<u8>, IssuerError> {
    let mut serial = [0; SERIAL_BYTES];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut serial).map_err(|_| IssuerError::Issue("no random bytes".to_owned()))?;
    // Positive, and of one length.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(serial.to_vec())
}

fn system_time(at: Timestamp) -> SystemTime {
    let millis = u64::try_from(at.unix_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}
