//! What every request passes before its route: protocol version, certificate, revocation; then the
//! route's roles and its time limit.
//!
//! Not here: the roles of each route (see [`super::table`]).

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use wavegate_proto::wire::agent::PROTOCOL_VERSION;
use wavegate_proto::wire::problem::ProblemCode;

use super::Context;
use super::body::BodyLimit;
use super::error::ApiError;
use super::identity::{Identity, Peer};
use super::table::{Access, Limits, is_open};

const PROTOCOL_HEADER: &str = "wavegate-protocol";

/// Before routing, on the mTLS listener: who calls at all?
pub(super) async fn authenticate(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Response {
    match check_caller(&context, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check_caller(context: &Context, request: &Request) -> Result<(), ApiError> {
    check_protocol(request.headers())?;
    if is_open(request.uri().path()) {
        return Ok(());
    }
    check_peer(context, request.extensions().get::<Peer>())
}

/// Whether whoever is at the other end may ask anything (still): a request may last for long.
pub(super) fn check_peer(context: &Context, peer: Option<&Peer>) -> Result<(), ApiError> {
    let refuse = |code, detail: &str| Err(ApiError::new(code, detail));
    match peer {
        None | Some(Peer::Anonymous | Peer::Local) => refuse(
            ProblemCode::ClientCertificateRequired,
            "connect with a certificate of this fleet",
        ),
        Some(Peer::Unacceptable(reason)) => refuse(ProblemCode::RoleForbidden, reason),
        Some(Peer::Known(identity)) => check_identity(context, identity),
    }
}

/// Whether a certificate counts (still).
pub(super) fn check_identity(context: &Context, identity: &Identity) -> Result<(), ApiError> {
    // The handshake was long ago, maybe.
    if identity.not_after < context.clock.wall() {
        let detail = "the certificate has expired";
        return Err(ApiError::new(ProblemCode::ClientCertificateRequired, detail));
    }
    if context.revocations.is_revoked(identity) {
        let detail = format!("{}: by the adopted release", identity.caller.subject());
        return Err(ApiError::new(ProblemCode::CertificateRevoked, detail));
    }
    Ok(())
}

fn check_protocol(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(version) = headers.get(PROTOCOL_HEADER) else {
        return Ok(());
    };
    if version.as_bytes() == PROTOCOL_VERSION.to_string().as_bytes() {
        return Ok(());
    }
    let detail = format!("this is version {PROTOCOL_VERSION}");
    Err(ApiError::new(ProblemCode::UnsupportedProtocol, detail))
}

/// Before routing, on the status listener (G27): a page of another site that a browser on this machine
/// shows must not read here under a name of its own.
pub(super) async fn check_host_header(
    State(bound): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let authority = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    if let Err(error) = check_protocol(request.headers()) {
        return error.into_response();
    }
    if authority.is_some_and(|authority| is_own_name(authority, bound)) {
        return next.run(request).await;
    }
    ApiError::bad_request("the Host header names another host").into_response()
}

/// What a browser is told about everything on the status listener (G27): scripts and styles come from here
/// alone, nobody frames it, nothing is taken for what it does not say it is. A page may say more.
const BROWSER_HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(super) async fn tell_browsers(mut response: Response) -> Response {
    for (name, value) in BROWSER_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn is_own_name(authority: &str, bound: SocketAddr) -> bool {
    let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else {
        return false;
    };
    let host = authority.host();
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.is_ok_and(|ip| ip.is_loopback() || ip == bound.ip() || bound.ip().is_unspecified())
}

/// Before a route's handler: may this role, and not for longer than this.
pub(super) async fn enter(
    access: Access,
    limits: Limits,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(error) = authorize(access, request.extensions().get::<Peer>()) {
        return error.into_response();
    }
    request.extensions_mut().insert(BodyLimit(limits.body_bytes));
    match tokio::time::timeout(limits.time, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            ApiError::new(ProblemCode::Overloaded, "the request took too long").into_response()
        }
    }
}

fn authorize(access: Access, peer: Option<&Peer>) -> Result<(), ApiError> {
    let roles = match access {
        Access::Anyone => return Ok(()),
        Access::Roles(roles) => roles,
    };
    match peer {
        // The status listener has only the routes that anybody on this machine may read.
        Some(Peer::Local) => Ok(()),
        Some(Peer::Known(identity)) if roles.contains(&identity.caller.role()) => Ok(()),
        Some(Peer::Known(identity)) => {
            let detail = format!("a {} may not do this", identity.caller.role());
            Err(ApiError::new(ProblemCode::RoleForbidden, detail))
        }
        None | Some(Peer::Anonymous | Peer::Unacceptable(_)) => {
            Err(ApiError::new(ProblemCode::ClientCertificateRequired, "no certificate"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G27: the Host header must be a loopback name or the bound address.
    #[test]
    fn g27_only_names_of_this_machine_are_answered() {
        let loopback = "127.0.0.1:9443".parse().unwrap();
        let remote = "192.0.2.7:9443".parse().unwrap();
        for (authority, bound, fine) in [
            ("localhost:9443", loopback, true),
            ("127.0.0.1:9443", loopback, true),
            ("[::1]:9443", loopback, true),
            ("evil.example:9443", loopback, false),
            ("127.0.0.1.evil.example", loopback, false),
            ("192.0.2.7:9443", loopback, false),
            ("192.0.2.7:9443", remote, true),
            ("", loopback, false),
        ] {
            assert_eq!(is_own_name(authority, bound), fine, "{authority} at {bound}");
        }
    }
}
