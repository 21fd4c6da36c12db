//! RFC 9457 problem documents and their stable codes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::artifact::rules::RuleCode;
use crate::ids::{BlobId, Seq};

/// The media type of a problem document.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

const TYPE_PREFIX: &str = "urn:wavegate:problem:";

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong, as a stable code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
            /// A rule of an artifact was broken.
            Rule(RuleCode),
        }

        impl ProblemCode {
            /// Every code that is not a rule's.
            pub const PLAIN: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* Self::Rule(rule) => rule.as_str() }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Rule(_) => 422 }
            }

            /// A short sentence for people.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* Self::Rule(rule) => rule.title() }
            }
        }
    };
}

codes! {
    /// 400: the body is not the JSON expected here.
    BadJson = "bad-json", 400, "the body is not the JSON expected here";
    /// 400: a path, query or header is malformed.
    BadRequest = "bad-request", 400, "the request is malformed";
    /// 400: the cursor is not one of this list.
    BadCursor = "bad-cursor", 400, "the cursor is not one of this list";
    /// 400: a blob's bytes do not have the hash of its name.
    HashMismatch = "hash-mismatch", 400, "the bytes do not have the hash they are named by";
    /// 401: no client certificate.
    ClientCertificateRequired = "client-certificate-required", 401, "a client certificate is required";
    /// 401: revoked by the signed fleet document.
    CertificateRevoked = "certificate-revoked", 401, "the client certificate has been revoked";
    /// 401: an enrollment token that nobody signed whom this fleet believes, or for something else.
    TokenRefused = "token-refused", 401, "the enrollment token is refused";
    /// 401: an enrollment token whose time is over.
    TokenExpired = "token-expired", 401, "the enrollment token has expired";
    /// 401: a certificate that cannot be renewed.
    RenewalRefused = "renewal-refused", 401, "the certificate cannot be renewed";
    /// 403: the certificate's role may not do this.
    RoleForbidden = "role-forbidden", 403, "the certificate's role may not do this";
    /// 403: a host may only speak for itself.
    NotYourHost = "not-your-host", 403, "a host may only speak for itself";
    /// 403: not in the signed fleet.
    HostNotInFleet = "host-not-in-fleet", 403, "the host is not in the signed fleet";
    /// 403: another key than the one that was promised.
    KeyMismatch = "key-mismatch", 403, "the key is another one";
    /// 404: no such route.
    NotFound = "not-found", 404, "there is nothing here";
    /// 404: the control plane has no such rollout.
    UnknownRollout = "unknown-rollout", 404, "no such rollout";
    /// 404: no such host.
    UnknownHost = "unknown-host", 404, "no such host";
    /// 404: no such blob.
    UnknownBlob = "unknown-blob", 404, "no such blob";
    /// 404: this control plane issues no certificates.
    IssuingDisabled = "issuing-disabled", 404, "this control plane issues no certificates";
    /// 405: the route has other methods.
    MethodNotAllowed = "method-not-allowed", 405, "the method is not allowed here";
    /// 409: events are missing in between.
    SeqGap = "seq-gap", 409, "events are missing before these";
    /// 409: another journal has taken this one's place.
    JournalReplaced = "journal-replaced", 409, "the journal has been replaced by another";
    /// 409: an event known already came with other content.
    JournalDiverged = "journal-diverged", 409, "the journal differs from what was committed";
    /// 409: the rollout has ended, nothing can be done about it any more.
    RolloutFinished = "rollout-finished", 409, "the rollout has ended";
    /// 409: the host's state does not allow another attempt.
    NotRetryable = "not-retryable", 409, "the host cannot be tried again now";
    /// 409: there is nothing to leave the host out of.
    NotSkippable = "not-skippable", 409, "the host cannot be skipped now";
    /// 409: the host is being worked on.
    HostInFlight = "host-in-flight", 409, "the host is being worked on";
    /// 409: the enrollment token has been used.
    TokenUsed = "token-used", 409, "the enrollment token has been used";
    /// 409: a closure of the rollout is quarantined.
    Quarantined = "quarantined", 409, "a closure is quarantined";
    /// 409: two machines use the host's certificate.
    ClonedIdentity = "cloned-identity", 409, "two machines use this host's certificate";
    /// 410: the rollout has been pruned.
    RolloutPruned = "rollout-pruned", 410, "the rollout has been pruned";
    /// 413: the body is too large.
    TooLarge = "too-large", 413, "the body is too large";
    /// 415: not JSON.
    UnsupportedMediaType = "unsupported-media-type", 415, "the media type is not supported";
    /// 416: the blob has no such bytes.
    RangeNotSatisfiable = "range-not-satisfiable", 416, "there are no such bytes";
    /// 422: not a certificate signing request, or not signed by its own key.
    BadCsr = "bad-csr", 422, "the certificate signing request is refused";
    /// 422: the state machine refuses an event.
    EventRefused = "event-refused", 422, "the event is refused";
    /// 422: a verb without a reason, or with one that is too long.
    ReasonRequired = "reason-required", 422, "a reason of 1 to 500 characters is required";
    /// 422: a release names blobs that have not been uploaded.
    MissingBlobs = "missing-blobs", 422, "blobs are missing";
    /// 422: an older version of the trust file than the one that holds.
    TrustRegressed = "trust-regressed", 422, "the trust file is older than the one that holds";
    /// 422: another trust file has this version.
    TrustConflict = "trust-conflict", 422, "another trust file has this version";
    /// 422: versions of the trust file are missing in between.
    TrustGap = "trust-gap", 422, "versions of the trust file are missing in between";
    /// 422: the cut-off of the trust file would move back.
    CutOffMovedBack = "cut-off-moved-back", 422, "the cut-off of the trust file only moves forward";
    /// 426: another protocol version.
    UnsupportedProtocol = "unsupported-protocol", 426, "the protocol version is not supported";
    /// 429: too many requests.
    RateLimited = "rate-limited", 429, "too many requests";
    /// 500: a bug or a broken machine.
    Internal = "internal", 500, "an internal error";
    /// 503: the queue is full or the commit takes too long.
    Overloaded = "overloaded", 503, "the control plane is overloaded";
    /// 503: no release has been loaded yet.
    NoRelease = "no-release", 503, "no release has been loaded yet";
    /// 503: the control plane is stopping.
    ShuttingDown = "shutting-down", 503, "the control plane is shutting down";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:wavegate:problem:<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// A short sentence, the same for each code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time.
    pub detail: String,
    /// With `seq-gap`: the seq to send from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seq: Option<Seq>,
    /// With `event-refused`: the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// With `event-refused`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With `event-refused`: everything up to here is committed (the refusal included).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<Seq>,
    /// With `missing-blobs`: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<BlobId>>,
}

impl Problem {
    /// A problem with `code` and what was wrong this time.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("{TYPE_PREFIX}{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            expected_seq: None,
            seq: None,
            reason: None,
            last_seq: None,
            missing: None,
        }
    }

    /// The code, as written in the type.
    #[must_use]
    pub fn code(&self) -> &str {
        self.type_uri.strip_prefix(TYPE_PREFIX).unwrap_or(&self.type_uri)
    }
}
