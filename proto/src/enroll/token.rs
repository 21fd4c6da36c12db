//! Minting tokens, and what holds before one is believed.

use std::collections::BTreeSet;

use super::claims::Claims;
use super::jws::{self, JwsError};
use super::pattern::HostPattern;
use super::{
    MAX_TOKEN_BYTES, MAX_TOKEN_COUNT, MAX_TOKEN_HOSTS, MAX_TOKEN_LIFETIME_SECS, TOKEN_SKEW_SECS,
};
use crate::ids::{EnrollNonce, FleetName, HostName, KeyId, KeyThumbprint, TokenId};
use crate::signing::PrivateKey;
use crate::time::Timestamp;
use crate::trust::TrustFile;
use crate::wire::problem::ProblemCode;

/// A token that was signed by a key the fleet believes, and counts now. There is no other way to make
/// one than [`EnrollToken::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnrollToken {
    /// What tells it from every other.
    pub id: TokenId,
    /// Who signed it.
    pub key_id: KeyId,
    /// Which hosts it lets in.
    pub scope: TokenScope,
    /// How many of them.
    pub count: u32,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// What a fleet in mode `strict` asks for.
    pub nonce: Option<EnrollNonce>,
    /// The key that the host must have.
    pub bound_to: Option<KeyThumbprint>,
}

/// Which hosts a token lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenScope {
    /// This one.
    Host(HostName),
    /// Any of these.
    AnyOf(BTreeSet<HostName>),
    /// Those of a pattern.
    Pattern(HostPattern),
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Larger than [`MAX_TOKEN_BYTES`].
    #[error("it is larger than {MAX_TOKEN_BYTES} bytes")]
    TooLarge,
    /// Not signed by a key that is believed.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Claims that are missing, malformed or contradict each other.
    #[error("its claims are malformed: {0}")]
    Claims(String),
    /// Of another fleet.
    #[error("it is for fleet {0}")]
    WrongFleet(FleetName),
    /// It does not count yet.
    #[error("it counts from {0} on")]
    NotYet(Timestamp),
    /// It does not count any more.
    #[error("it counted until {0}")]
    Expired(Timestamp),
    /// Its key did not count when it was issued.
    #[error("its key {0} did not count when it was issued")]
    KeyWindow(KeyId),
    /// The trust file rejects what was signed then.
    #[error("it was issued before {0}, which the trust file rejects")]
    RejectedBefore(Timestamp),
    /// A host that it does not name.
    #[error("it does not let {0} in")]
    NotForHost(HostName),
    /// One of several hosts, and the request does not say which.
    #[error("it is for one of several hosts: the request has to name its own")]
    HostMissing,
}

impl TokenError {
    /// The code of the problem.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Expired(_) => ProblemCode::TokenExpired,
            Self::HostMissing => ProblemCode::BadRequest,
            Self::TooLarge
            | Self::Jws(_)
            | Self::Claims(_)
            | Self::WrongFleet(_)
            | Self::NotYet(_)
            | Self::KeyWindow(_)
            | Self::RejectedBefore(_)
            | Self::NotForHost(_) => ProblemCode::TokenRefused,
        }
    }
}

/// Signs `claims`, after looking whether they could ever be believed.
///
/// # Errors
/// When not.
pub fn mint(claims: &Claims, key: &PrivateKey) -> Result<String, TokenError> {
    scope(claims)?;
    lifetime(claims)?;
    let token = jws::sign(key, claims);
    if token.len() > MAX_TOKEN_BYTES { Err(TokenError::TooLarge) } else { Ok(token) }
}

impl EnrollToken {
    /// Reads and verifies a token.
    ///
    /// # Errors
    /// When it is not to be believed, at `now`.
    pub fn verify(text: &str, trust: &TrustFile, now: Timestamp) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        let (key, payload) = jws::verify(text, trust.enroll_keys())?;
        let claims: Claims =
            serde_json::from_value(payload).map_err(|e| TokenError::Claims(e.to_string()))?;
        for fleet in [&claims.iss, &claims.aud] {
            if *fleet != trust.fleet {
                return Err(TokenError::WrongFleet(fleet.clone()));
            }
        }
        let (scope, times) = (scope(&claims)?, lifetime(&claims)?);
        if times.counts_from > now.plus_secs(TOKEN_SKEW_SECS) {
            return Err(TokenError::NotYet(times.counts_from));
        }
        if now >= times.expires_at {
            return Err(TokenError::Expired(times.expires_at));
        }
        if !key.is_valid_at(Some(times.issued_at)) {
            return Err(TokenError::KeyWindow(key.key_id.clone()));
        }
        if let Some(cut_off) = trust.reject_signed_before.filter(|t| times.issued_at < *t) {
            return Err(TokenError::RejectedBefore(cut_off));
        }
        Ok(Self {
            id: claims.jti,
            key_id: key.key_id.clone(),
            scope,
            count: claims.count.unwrap_or(1),
            issued_at: times.issued_at,
            expires_at: times.expires_at,
            nonce: claims.nonce,
            bound_to: claims.cnf.map(|cnf| cnf.jkt),
        })
    }

    /// The host that joins (S1): the token's. What a request asks for only chooses among several.
    ///
    /// # Errors
    /// When the token does not let `asked` in, or does not say which host and neither does the request.
    pub fn host(&self, asked: Option<&HostName>) -> Result<HostName, TokenError> {
        let named = |host: &HostName| match &self.scope {
            TokenScope::Host(own) => own == host,
            TokenScope::AnyOf(hosts) => hosts.contains(host),
            TokenScope::Pattern(pattern) => pattern.matches(host),
        };
        match (asked, &self.scope) {
            (Some(host), _) if named(host) => Ok(host.clone()),
            (Some(host), _) => Err(TokenError::NotForHost(host.clone())),
            (None, TokenScope::Host(own)) => Ok(own.clone()),
            (None, TokenScope::AnyOf(_) | TokenScope::Pattern(_)) => Err(TokenError::HostMissing),
        }
    }

    /// Whether a token names one host, so that its bearer need not. Nothing of it is verified.
    #[must_use]
    pub fn names_one_host(text: &str) -> bool {
        text.len() <= MAX_TOKEN_BYTES
            && jws::unverified_payload(text).is_some_and(|payload| payload.get("sub").is_some())
    }

    /// Whether it lets in whatever has a fitting name.
    #[must_use]
    pub fn is_for_group(&self) -> bool {
        match self.scope {
            TokenScope::Pattern(_) => true,
            TokenScope::Host(_) | TokenScope::AnyOf(_) => false,
        }
    }
}

fn scope(claims: &Claims) -> Result<TokenScope, TokenError> {
    let refuse = |text: String| Err(TokenError::Claims(text));
    let scope = match (&claims.sub, &claims.any_of, &claims.pattern) {
        (Some(host), None, None) => TokenScope::Host(host.clone()),
        (None, Some(hosts), None) => TokenScope::AnyOf(hosts.iter().cloned().collect()),
        (None, None, Some(pattern)) => TokenScope::Pattern(pattern.clone()),
        _ => return refuse("exactly one of sub, any_of and pattern must be there".to_owned()),
    };
    let most = match &scope {
        TokenScope::Host(_) => 1,
        TokenScope::AnyOf(hosts) if hosts.is_empty() || hosts.len() > MAX_TOKEN_HOSTS => {
            return refuse(format!("any_of must name 1 to {MAX_TOKEN_HOSTS} hosts"));
        }
        TokenScope::AnyOf(hosts) => u32::try_from(hosts.len()).unwrap_or(u32::MAX),
        TokenScope::Pattern(_) => MAX_TOKEN_COUNT,
    };
    let count = claims.count.unwrap_or(1);
    if count == 0 || count > most {
        return refuse(format!("count is {count}, it may be 1 to {most}"));
    }
    if claims.cnf.is_some() && count > 1 {
        return refuse("a token for several hosts cannot be bound to one key".to_owned());
    }
    Ok(scope)
}

struct Lifetime {
    issued_at: Timestamp,
    counts_from: Timestamp,
    expires_at: Timestamp,
}

fn lifetime(claims: &Claims) -> Result<Lifetime, TokenError> {
    let time = |secs: i64| Timestamp::from_unix_millis(secs.saturating_mul(1000));
    let (issued, from) = (claims.iat, claims.nbf.unwrap_or(claims.iat));
    let longest = i64::try_from(MAX_TOKEN_LIFETIME_SECS).unwrap_or(i64::MAX);
    let length = claims.exp.saturating_sub(issued);
    if issued < 0 || from < issued || claims.exp <= from || length > longest {
        let rule = format!("iat <= nbf < exp, at most {MAX_TOKEN_LIFETIME_SECS} s apart");
        return Err(TokenError::Claims(rule));
    }
    Ok(Lifetime { issued_at: time(issued), counts_from: time(from), expires_at: time(claims.exp) })
}

#[cfg(test)]
mod tests;
