//! How a host gets its certificate, and the next one.
//!
//! Not here: what a token says (see [`crate::enroll`]).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::HostName;
use crate::time::Timestamp;

/// The most bytes of a request for a certificate.
pub const MAX_ENROLL_BYTES: usize = 64 * 1024;

/// The most bytes of a certificate signing request, PEM.
pub const MAX_CSR_BYTES: usize = 8 * 1024;

/// `POST /v1/enroll`: by a token, or by a certificate that has expired. Exactly one of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// Which of the hosts that the token lets in; needed only when these are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The certificate that has expired, with its chain, PEM. The request must be signed by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_chain_pem: Option<String>,
    /// The certificate signing request (PKCS#10), PEM. Only its key counts.
    pub csr_pem: String,
}

/// `POST /v1/agent/renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// The certificate signing request (PKCS#10), PEM. Only its key counts.
    pub csr_pem: String,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAnswer {
    /// The host that the certificate names.
    pub host: HostName,
    /// The certificate and those between it and the root, PEM.
    pub chain_pem: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// A token, which is shown to nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenText(pub String);

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}
