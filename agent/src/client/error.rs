//! What can go wrong with a call, and whether it is worth another try.

use std::error::Error as _;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use wavegate_proto::ids::BlobId;
use wavegate_proto::wire::problem::Problem;

use super::tls::TlsError;
use crate::cache::CacheError;

/// The longest a control plane may tell an agent to wait with `Retry-After`.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be used.
    #[error("use the control plane's URL: {0}")]
    BadUrl(String),
    /// The certificate, key or CA cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No answer: connection, handshake, time-out or a broken body.
    #[error("reach the control plane: {0}")]
    Unreachable(String),
    /// A certificate is not valid at the time that this host judges by.
    #[error("reach the control plane: {0}")]
    NotValidNow(String),
    /// The control plane answered with a problem document.
    #[error("be served: {} ({})", problem.code(), problem.detail)]
    Problem {
        /// The document.
        problem: Box<Problem>,
        /// How long it asks to wait, already bounded.
        retry_after: Option<Duration>,
    },
    /// An unexpected status without a problem document.
    #[error("be served: status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait, already bounded.
        retry_after: Option<Duration>,
    },
    /// The body is larger than this call allows (G2).
    #[error("read the answer: more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The body is not what this call expects.
    #[error("read the answer: {0}")]
    BadAnswer(String),
    /// A blob's bytes do not have the hash they were asked for by.
    #[error("check the bytes of {wanted}: they have another hash")]
    HashMismatch {
        /// The hash asked for.
        wanted: BlobId,
    },
    /// The bytes could not be kept on this host.
    #[error("keep the downloaded bytes: {0}")]
    Store(#[from] CacheError),
}

impl ClientError {
    /// The problem document, when there is one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            Self::BadUrl(_)
            | Self::Tls(_)
            | Self::Unreachable(_)
            | Self::NotValidNow(_)
            | Self::Status { .. }
            | Self::TooLarge { .. }
            | Self::BadAnswer(_)
            | Self::HashMismatch { .. }
            | Self::Store(_) => None,
        }
    }

    /// Whether a clock that is wrong may be the cause.
    #[must_use]
    pub fn is_about_time(&self) -> bool {
        matches!(self, Self::NotValidNow(_))
    }

    /// Whether what has come of a download is worth keeping: it broke off, or is not served just now.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::NotValidNow(_) => true,
            Self::Problem { retry_after, .. } | Self::Status { retry_after, .. } => {
                retry_after.is_some()
            }
            Self::BadUrl(_)
            | Self::Tls(_)
            | Self::TooLarge { .. }
            | Self::BadAnswer(_)
            | Self::HashMismatch { .. }
            | Self::Store(_) => false,
        }
    }

    /// The code of the problem document, or nothing.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.problem().map(Problem::code)
    }

    /// How long the control plane asked to wait, at most ten minutes.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            Self::BadUrl(_)
            | Self::Tls(_)
            | Self::Unreachable(_)
            | Self::NotValidNow(_)
            | Self::TooLarge { .. }
            | Self::BadAnswer(_)
            | Self::HashMismatch { .. }
            | Self::Store(_) => None,
        }
    }
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        let said = chain(&error);
        if is_about_time(&error) { Self::NotValidNow(said) } else { Self::Unreachable(said) }
    }
}

/// Whether TLS failed because a certificate is not valid yet, or not any more.
fn is_about_time(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = rustls_error(cause) {
            return is_validity(found);
        }
        source = cause.source();
    }
    false
}

/// TLS hands its errors on inside of others.
fn rustls_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = cause.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    rustls_error(cause.downcast_ref::<std::io::Error>()?.get_ref()?)
}

fn is_validity(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ) | rustls::Error::AlertReceived(AlertDescription::CertificateExpired)
    )
}

/// An error with everything that caused it, on one line.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
