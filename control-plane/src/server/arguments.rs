//! Path and query of a request, as the types they stand for (S8: parsed before anything uses them).
//!
//! Not here: bodies (see [`super::body`]).

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wavegate_proto::ids::{HostName, PersonName, RolloutId};
use wavegate_proto::wire::operator::{DEFAULT_PAGE_LIMIT, MAX_PAGE_LIMIT};
use wavegate_proto::wire::problem::ProblemCode;

use super::error::ApiError;
use super::identity::{Caller, Identity, Peer};
use crate::core::PageRequest;

/// The longest cursor.
const MAX_CURSOR_BYTES: usize = 512;

/// The one parameter of the path.
pub(super) struct PathId<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for PathId<T>
where
    S: Send + Sync,
    T: FromStr,
    T::Err: Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(ApiError::bad_request)?;
        text.parse().map(Self).map_err(ApiError::bad_request)
    }
}

/// The two parameters of the path.
pub(super) struct PathPair<A, B>(pub(super) A, pub(super) B);

impl<S, A, B> FromRequestParts<S> for PathPair<A, B>
where
    S: Send + Sync,
    A: FromStr,
    A::Err: Display,
    B: FromStr,
    B::Err: Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path((first, second)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(ApiError::bad_request)?;
        let first = first.parse().map_err(ApiError::bad_request)?;
        Ok(Self(first, second.parse().map_err(ApiError::bad_request)?))
    }
}

/// The query.
pub(super) struct Arguments<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Arguments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri).map(|Query(q)| Self(q)).map_err(ApiError::bad_request)
    }
}

/// The host that calls, by its certificate (S7).
pub(super) struct CallingHost {
    pub(super) name: HostName,
    pub(super) identity: std::sync::Arc<Identity>,
}

impl<S: Send + Sync> FromRequestParts<S> for CallingHost {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if let Some(Peer::Known(identity)) = parts.extensions.get::<Peer>()
            && let Caller::Host(name) = &identity.caller
        {
            return Ok(Self { name: name.clone(), identity: identity.clone() });
        }
        Err(ApiError::new(ProblemCode::RoleForbidden, "only a host may ask this"))
    }
}

/// Whoever calls, by their certificate.
pub(super) struct Calling(pub(super) std::sync::Arc<Identity>);

impl<S: Send + Sync> FromRequestParts<S> for Calling {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Peer>() {
            Some(Peer::Known(identity)) => Ok(Self(identity.clone())),
            None | Some(Peer::Anonymous | Peer::Unacceptable(_) | Peer::Local) => {
                Err(ApiError::new(ProblemCode::ClientCertificateRequired, "no certificate"))
            }
        }
    }
}

/// The operator that calls, by their certificate.
pub(super) struct CallingOperator(pub(super) PersonName);

impl<S: Send + Sync> FromRequestParts<S> for CallingOperator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if let Some(Peer::Known(identity)) = parts.extensions.get::<Peer>()
            && let Caller::Operator(name) = &identity.caller
        {
            return Ok(Self(name.clone()));
        }
        Err(ApiError::new(ProblemCode::RoleForbidden, "only an operator may do this"))
    }
}

/// `limit` and `cursor` of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PageArguments {
    pub(super) limit: Option<usize>,
    pub(super) cursor: Option<String>,
}

impl PageArguments {
    /// As the live model takes it.
    pub(super) fn request(self) -> Result<PageRequest, ApiError> {
        if self.cursor.as_ref().is_some_and(|cursor| cursor.len() > MAX_CURSOR_BYTES) {
            return Err(ApiError::new(ProblemCode::BadCursor, "it is too long"));
        }
        Ok(PageRequest { after: self.cursor, limit: page_limit(self.limit)? })
    }
}

/// More than the most is cut; none at all is refused.
pub(super) fn page_limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(DEFAULT_PAGE_LIMIT) {
        0 => Err(ApiError::bad_request("limit is 0")),
        limit => Ok(limit.min(MAX_PAGE_LIMIT)),
    }
}

/// Refuses a name in a body that is not the caller's own (S7).
pub(super) fn require_own_host(named: &str, own: &HostName) -> Result<(), ApiError> {
    if named == own.as_str() {
        return Ok(());
    }
    let named: String = named.chars().take(80).collect();
    Err(ApiError::new(ProblemCode::NotYourHost, format!("you are {own}, not {named}")))
}

/// A rollout of the path.
pub(super) type RolloutPath = PathId<RolloutId>;
