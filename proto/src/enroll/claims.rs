//! What a token says, as it is written.
//!
//! Not here: whether it may be believed (see [`super::token`]).

use serde::{Deserialize, Serialize};

use super::pattern::HostPattern;
use crate::ids::{EnrollNonce, FleetName, HostName, KeyThumbprint, TokenId};

/// The claims of a token. Of `sub`, `any_of` and `pattern` there is exactly one. Times are seconds since
/// 1970 (RFC 7519).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: the fleet.
    pub iss: FleetName,
    /// Whom it is for: the control plane of the same fleet.
    pub aud: FleetName,
    /// The host that may join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<HostName>,
    /// The hosts one of which may join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_of: Option<Vec<HostName>>,
    /// The hosts that may join, up to `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<HostPattern>,
    /// How many of them; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// When it was issued.
    pub iat: i64,
    /// From when it counts; `iat` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Until when it counts.
    pub exp: i64,
    /// What tells it from every other.
    pub jti: TokenId,
    /// What a fleet in mode `strict` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<EnrollNonce>,
    /// The key that the host must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// The key that the bearer must prove to have (RFC 7800, RFC 9449 section 6.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Its thumbprint.
    pub jkt: KeyThumbprint,
}
