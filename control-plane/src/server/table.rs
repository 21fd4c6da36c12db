//! Every route: method, path, who may use it, on which listener, with which limits. The routers are
//! built from this table, and a test walks it with every role (S2).
//!
//! Not here: what the routes do (see `routes`).

use std::time::Duration;

use axum::routing::{MethodRouter, delete, get, post, put};
use wavegate_proto::wire::agent::{MAX_EVENTS_BYTES, MAX_HEARTBEAT_BYTES, MAX_POLL_WAIT_SECS};
use wavegate_proto::wire::enroll::MAX_ENROLL_BYTES;
use wavegate_proto::wire::verbs::MAX_VERB_BYTES;

use super::identity::Role;
use super::routes::{
    agent, assets, blobs, channels, enroll, events, health, hosts, provider, quarantines, releases,
    resources, rollouts, status, stream, trust, verbs,
};
use super::{Context, openapi};

/// Who may use a route.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Whoever can connect, with or without a certificate.
    Anyone,
    /// Certificates of these roles.
    Roles(&'static [Role]),
}

/// Where a route is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Only over mTLS.
    Mtls,
    /// There, and on the plain status listener.
    Both,
}

/// What bounds a request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest it may take.
    pub time: Duration,
    /// The most bytes of its body.
    pub body_bytes: usize,
}

/// A route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Where it is served.
    pub listener: Listener,
    pub(super) limits: Limits,
    pub(super) service: fn() -> MethodRouter<Context>,
}

const HOST: Access = Access::Roles(&[Role::Host]);
const OPERATOR: Access = Access::Roles(&[Role::Operator]);
const CONTENT: Access = Access::Roles(&[Role::Host, Role::Operator]);
const READ: Access = Access::Roles(&[Role::Operator, Role::Viewer]);

const SHORT: Duration = Duration::from_secs(30);
/// A release of a large fleet takes time to verify and to fetch.
const ADOPTION: Duration = Duration::from_secs(300);
/// The longest wait, and some for the answer.
const LONG_POLL: Duration = Duration::from_secs(MAX_POLL_WAIT_SECS + 15);
const UPLOAD: Duration = Duration::from_secs(3600);

const NO_BODY: Limits = Limits { time: SHORT, body_bytes: 0 };
/// A proof: a header of 256 KiB in base64, its signatures, an entry, 64 hashes.
const PROOF_BYTES: usize = 1024 * 1024;
/// A trust file of 1 MiB in base64, and its signatures.
const TRUST_BYTES: usize = 2 * 1024 * 1024;
/// A release with a fleet document of up to 10 MB in it; a larger one is a blob.
const RELEASE_BYTES: usize = 64 * 1024 * 1024;

const fn body(time: Duration, body_bytes: usize) -> Limits {
    Limits { time, body_bytes }
}

const fn read(path: &'static str, service: fn() -> MethodRouter<Context>) -> Route {
    Route { method: "GET", path, access: READ, listener: Listener::Both, limits: NO_BODY, service }
}

const fn mtls(
    method: &'static str,
    path: &'static str,
    access: Access,
    limits: Limits,
    service: fn() -> MethodRouter<Context>,
) -> Route {
    Route { method, path, access, listener: Listener::Mtls, limits, service }
}

const fn verb(
    method: &'static str,
    path: &'static str,
    service: fn() -> MethodRouter<Context>,
) -> Route {
    mtls(method, path, OPERATOR, body(SHORT, MAX_VERB_BYTES), service)
}

const fn open(path: &'static str, service: fn() -> MethodRouter<Context>) -> Route {
    Route { access: Access::Anyone, ..read(path, service) }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    mtls("POST", "/v1/enroll", Access::Anyone, body(SHORT, MAX_ENROLL_BYTES), || {
        post(enroll::enroll)
    }),
    mtls("POST", "/v1/agent/renew", HOST, body(SHORT, MAX_ENROLL_BYTES), || post(enroll::renew)),
    mtls("POST", "/v1/agent/heartbeat", HOST, body(SHORT, MAX_HEARTBEAT_BYTES), || {
        post(agent::heartbeat)
    }),
    mtls("GET", "/v1/agent/dispatch", HOST, body(LONG_POLL, 0), || get(agent::dispatch)),
    mtls("POST", "/v1/agent/events", HOST, body(SHORT, MAX_EVENTS_BYTES), || post(agent::events)),
    mtls("POST", "/v1/agent/rollouts", HOST, body(SHORT, PROOF_BYTES), || post(agent::offer)),
    mtls("GET", "/v1/agent/rollouts/{id}", HOST, NO_BODY, || get(agent::proof)),
    mtls("GET", "/v1/agent/trust", HOST, NO_BODY, || get(trust::after)),
    mtls("GET", "/v1/closures/{id}", CONTENT, body(UPLOAD, 0), || get(assets::closure)),
    mtls("GET", "/v1/assets/{id}", CONTENT, body(UPLOAD, 0), || get(assets::asset)),
    mtls("PUT", "/v1/blobs/{id}", OPERATOR, body(UPLOAD, 0), || put(blobs::upload)),
    mtls("POST", "/v1/releases", OPERATOR, body(ADOPTION, RELEASE_BYTES), || {
        post(releases::publish)
    }),
    mtls("POST", "/v1/releases/plan", READ, body(ADOPTION, RELEASE_BYTES), || post(releases::plan)),
    mtls("POST", "/v1/trust", OPERATOR, body(ADOPTION, TRUST_BYTES), || post(trust::publish)),
    verb("POST", "/v1/rollouts/{id}/pause", || post(verbs::pause)),
    verb("POST", "/v1/rollouts/{id}/resume", || post(verbs::resume)),
    verb("POST", "/v1/rollouts/{id}/abort", || post(verbs::abort)),
    verb("POST", "/v1/rollouts/{id}/retry", || post(verbs::retry_failed)),
    verb("POST", "/v1/rollouts/{id}/waves/{wave}/approve", || post(verbs::approve)),
    verb("POST", "/v1/rollouts/{id}/hosts/{host}/retry", || post(verbs::retry)),
    verb("POST", "/v1/rollouts/{id}/hosts/{host}/skip", || post(verbs::skip)),
    verb("PUT", "/v1/hosts/{host}/hold", || put(verbs::hold)),
    verb("DELETE", "/v1/hosts/{host}/hold", || delete(verbs::release)),
    verb("PUT", "/v1/hosts/{host}/provider", || put(provider::sync)),
    verb("DELETE", "/v1/quarantines/{channel}/{closure}", || delete(verbs::clear_quarantine)),
    read("/v1/status", || get(status::status)),
    read("/v1/hosts", || get(hosts::list)),
    read("/v1/hosts/{host}", || get(hosts::show)),
    read("/v1/hosts/{host}/explain", || get(hosts::explain)),
    read("/v1/hosts/{host}/resources", || get(resources::list)),
    read("/v1/channels", || get(channels::list)),
    read("/v1/rollouts", || get(rollouts::list)),
    read("/v1/rollouts/{id}", || get(rollouts::show)),
    read("/v1/rollouts/{id}/hosts", || get(rollouts::hosts)),
    read("/v1/rollouts/{id}/events", || get(events::of_rollout)),
    read("/v1/events", || get(events::list)),
    read("/v1/stream", || get(stream::stream)),
    read("/v1/quarantines", || get(quarantines::list)),
    read("/metrics", || get(health::metrics)),
    read("/openapi.json", || get(openapi::serve)),
    open("/healthz", || get(health::healthz)),
    open("/readyz", || get(health::readyz)),
];

/// Whether a path needs no certificate.
pub(super) fn is_open(path: &str) -> bool {
    ROUTES.iter().any(|route| matches!(route.access, Access::Anyone) && route.path == path)
}
