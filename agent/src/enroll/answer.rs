//! What the control plane answered: taken only if it is a certificate for this host's key, in this fleet.

use std::path::Path;

use wavegate_proto::ids::{FleetName, HostName};

use crate::client::{Credentials, TlsError};
use crate::identity::{Identity, IdentityError};
use crate::snapshot::replace_durably;

/// Why a certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It does not go with the key, or cannot be read.
    #[error("use the certificate that was answered: {0}")]
    Tls(#[from] TlsError),
    /// It names no host.
    #[error("use the certificate that was answered: {0}")]
    Identity(#[from] IdentityError),
    /// It names another fleet.
    #[error("use the certificate that was answered: it is of fleet {0}")]
    OtherFleet(FleetName),
    /// It names another host.
    #[error("use the certificate that was answered: it names {0}")]
    OtherHost(HostName),
    /// It cannot be kept.
    #[error("keep the certificate: {0}")]
    Io(#[from] std::io::Error),
}

/// Whom an answered certificate must name.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'a> {
    /// Any host of this fleet: the first certificate says who this host is.
    HostOf(&'a FleetName),
    /// This host.
    Same(&'a Identity),
}

/// Checks an answered chain and keeps it at `path`, whole or not at all.
///
/// # Errors
/// When it is not what was expected; the file is as it was.
pub fn keep(
    chain_pem: &str,
    key_pem: &str,
    expected: Expected<'_>,
    path: &Path,
) -> Result<Identity, AnswerError> {
    let identity = Identity::of_certificate(&Credentials::own(chain_pem, key_pem)?)?;
    let fleet = match expected {
        Expected::HostOf(fleet) => fleet,
        Expected::Same(before) => &before.fleet,
    };
    if identity.fleet != *fleet {
        return Err(AnswerError::OtherFleet(identity.fleet));
    }
    if let Expected::Same(before) = expected
        && identity.host != before.host
    {
        return Err(AnswerError::OtherHost(identity.host));
    }
    replace_durably(path, chain_pem.as_bytes())?;
    Ok(identity)
}
