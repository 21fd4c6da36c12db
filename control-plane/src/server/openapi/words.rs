//! A sentence for each route, the parameters of its query, and the statuses that mean it worked.
//!
//! Not here: who may use it, and its limits (see [`crate::server::table`]).

/// What the document says of a route beside what the table knows.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// The route's method.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What its query may say.
    pub query: &'static [&'static str],
    /// The statuses that mean that it worked.
    pub answers: &'static [u16],
}

const fn words(method: &'static str, path: &'static str, about: &'static str) -> Words {
    Words { method, path, about, query: &[], answers: &[200] }
}

impl Words {
    const fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn answers(self, answers: &'static [u16]) -> Self {
        Self { answers, ..self }
    }
}

const PAGE: &[&str] = &["limit", "cursor"];
const HOSTS: &[&str] = &["channel", "tag", "state", "online", "member", "limit", "cursor"];
const ROLLOUTS: &[&str] = &["state", "channel", "limit", "cursor"];
const EVENTS: &[&str] =
    &["after_seq", "before_seq", "order", "rollout_id", "host", "kind", "limit", "cursor"];
const STREAM: &[&str] = &["after_seq", "rollout_id", "host", "kind"];

/// One for each route of the table; a test finds the one that is missing.
pub const WORDS: &[Words] = &[
    words("POST", "/v1/enroll", "A host's certificate, by a token or by one that has expired"),
    words("POST", "/v1/agent/renew", "A host's next certificate"),
    words("POST", "/v1/agent/heartbeat", "A host says what it is and holds"),
    words("GET", "/v1/agent/dispatch", "The permission to activate, waited for")
        .query(&["wait_secs"])
        .answers(&[200, 204]),
    words("POST", "/v1/agent/events", "What happened on a host, in the order of its journal"),
    words("POST", "/v1/agent/rollouts", "A signed header that the control plane has lost")
        .answers(&[204]),
    words(
        "GET",
        "/v1/agent/rollouts/{id}",
        "A rollout's header with the host's own entry and its proof",
    ),
    words("GET", "/v1/agent/trust", "The next versions of the trust file").query(&["after"]),
    words("GET", "/v1/closures/{id}", "The exact bytes of a closure document"),
    words("GET", "/v1/assets/{id}", "The exact bytes of an asset"),
    words("PUT", "/v1/blobs/{id}", "Upload a closure, an asset or a hosts table")
        .answers(&[200, 201]),
    words("POST", "/v1/releases", "Publish a release, whole or not at all").answers(&[200, 201]),
    words("POST", "/v1/releases/plan", "What publishing a release would do"),
    words("POST", "/v1/trust", "Publish the next version of the trust file").answers(&[200, 201]),
    words("POST", "/v1/rollouts/{id}/pause", "Dispatch nothing more until it is resumed"),
    words("POST", "/v1/rollouts/{id}/resume", "Let a paused or halted rollout go on"),
    words("POST", "/v1/rollouts/{id}/abort", "Dispatch nothing more, for good"),
    words("POST", "/v1/rollouts/{id}/retry", "Try every failed host again"),
    words("POST", "/v1/rollouts/{id}/waves/{wave}/approve", "Let a wave begin"),
    words("POST", "/v1/rollouts/{id}/hosts/{host}/retry", "Try a host again"),
    words("POST", "/v1/rollouts/{id}/hosts/{host}/skip", "Leave a host out of a rollout"),
    words("PUT", "/v1/hosts/{host}/hold", "Dispatch nothing to a host"),
    words("DELETE", "/v1/hosts/{host}/hold", "Take a hold back").query(&["reason"]),
    words("PUT", "/v1/hosts/{host}/provider", "What a host's provider says of the machine"),
    words("DELETE", "/v1/quarantines/{channel}/{closure}", "Let a closure be dispatched again")
        .query(&["reason"]),
    words("GET", "/v1/status", "The fleet at a glance"),
    words("GET", "/v1/hosts", "The hosts").query(HOSTS),
    words("GET", "/v1/hosts/{host}", "One host"),
    words("GET", "/v1/hosts/{host}/explain", "Every gate that holds a host, and what clears it"),
    words("GET", "/v1/hosts/{host}/resources", "What a host has last said of its resources")
        .query(PAGE),
    words("GET", "/v1/channels", "The channels").query(PAGE),
    words("GET", "/v1/rollouts", "The rollouts").query(ROLLOUTS),
    words("GET", "/v1/rollouts/{id}", "One rollout with its waves"),
    words("GET", "/v1/rollouts/{id}/hosts", "The records of a rollout's hosts").query(PAGE),
    words("GET", "/v1/rollouts/{id}/events", "The log of one rollout").query(EVENTS),
    words("GET", "/v1/events", "The log, from either end").query(EVENTS),
    words("GET", "/v1/stream", "The log as it grows, as server-sent events").query(STREAM),
    words("GET", "/v1/quarantines", "Closures that are not dispatched any more").query(PAGE),
    words("GET", "/metrics", "Figures for Prometheus"),
    words("GET", "/openapi.json", "This document"),
    words("GET", "/healthz", "The process is up"),
    words("GET", "/readyz", "It serves: 503 with reasons until then").answers(&[200, 503]),
];
