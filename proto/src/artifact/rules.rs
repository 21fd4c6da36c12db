//! The rules every verifier applies, in their order, each with its own code, and what a verifier
//! brings along.
//!
//! Not here: applying them (see [`crate::artifact::release`] and [`crate::artifact::proof`]).

use std::fmt;

use crate::ids::{Serial, Sha256Hash};
use crate::time::Timestamp;
use crate::trust::TrustFile;

/// How far in the future a document may be dated, in seconds.
pub const MAX_FUTURE_SECS: u64 = 60;

/// What a verifier brings along.
#[derive(Debug, Clone, Copy)]
pub struct VerifyContext<'a> {
    /// Whom it believes.
    pub trust: &'a TrustFile,
    /// Its wall clock.
    pub now: Timestamp,
    /// What it has accepted before.
    pub floor: SerialFloor,
    /// Whether the time of signing is judged.
    pub freshness: Freshness,
}

/// The highest release ever accepted. Nothing older is accepted again (S3); the default accepts
/// everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SerialFloor {
    /// Its serial.
    pub serial: Serial,
    /// The hash of its fleet document, where it is known: another one with the same serial is
    /// refused.
    pub fleet_sha256: Option<Sha256Hash>,
}

/// Whether the time of signing is judged. The window is the signed one (A11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// For what is to be acted on.
    Enforced,
    /// For history: an adopted release at start, a header that a host offers.
    Ignored,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $title:literal;)*) => {
        /// A rule that an artifact broke. The order of the variants is the order in which they are applied.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RuleCode {
            $($(#[$doc])* $variant,)*
        }

        impl RuleCode {
            /// Every rule, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// A short sentence for people.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

rules! {
    /// Larger than its kind may be.
    TooLarge = "too-large", "the artifact is too large";
    /// Not JSON, or JSON with duplicate keys, floats, or integers above 2^53.
    BadJson = "bad-json", "the artifact is not acceptable JSON";
    /// A schema version this build does not read.
    UnsupportedSchema = "unsupported-schema", "the artifact's schema version is not supported";
    /// Too few valid signatures of known keys.
    SignatureThreshold = "signature-threshold", "too few valid signatures";
    /// Signed before the trust file's cut-off.
    RejectedSignedBefore = "rejected-signed-before", "signed before the cut-off of the trust file";
    /// Of another fleet.
    WrongFleet = "wrong-fleet", "of another fleet";
    /// Older than a release accepted before.
    SerialRegressed = "serial-regressed", "older than a release accepted before";
    /// The serial of another release.
    SerialConflict = "serial-conflict", "another release has this serial";
    /// Older than the channel's freshness window.
    Stale = "stale", "no longer fresh";
    /// Signed more than 60 s in the future.
    SignedInFuture = "signed-in-future", "signed in the future";
    /// The header names another fleet document, or differs from it.
    FleetHashMismatch = "fleet-hash-mismatch", "the header does not belong to the fleet document";
    /// The hosts table or the entry does not belong to the header.
    MerkleMismatch = "merkle-mismatch", "the hosts do not belong to the header";
    /// A wave, or a rollout, without hosts.
    EmptyWave = "empty-wave", "a wave has no hosts";
    /// The hosts table differs from the fleet document.
    HostMismatch = "host-mismatch", "the hosts differ from the fleet document";
    /// A revocation was moved back or taken out (S4).
    RevocationMovedBack = "revocation-moved-back", "a revocation was moved back or taken out";
    /// The ref is known with other content.
    RefConflict = "ref-conflict", "the ref is known with other content";
}

impl fmt::Display for RuleCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Violation {
    /// The rule.
    pub code: RuleCode,
    /// What was wrong.
    pub detail: String,
}

impl Violation {
    /// A violation of `code`.
    #[must_use]
    pub fn new(code: RuleCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
