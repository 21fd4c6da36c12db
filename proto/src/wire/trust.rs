//! Versions of the trust file over HTTP: `GET /v1/agent/trust?after=N` and `POST /v1/trust`, whose body is
//! one [`SignedTrust`].
//!
//! Not here: what makes a version the next one (see [`crate::trust::rotation`]).

use serde::{Deserialize, Serialize};

use crate::trust::rotation::SignedTrust;

/// The most versions one answer holds.
pub const MAX_TRUST_STEPS: usize = 16;

/// The most bytes of an answer: it ends before the version that would make it larger.
pub const MAX_TRUST_ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// The versions after the one that was named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustAnswer {
    /// The version that the control plane goes by.
    pub current: u64,
    /// The next versions, rising without gaps; at most [`MAX_TRUST_STEPS`]. Empty when there are none, or
    /// when the very next one is not there.
    pub items: Vec<SignedTrust>,
}

/// The answer to a version that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustPublished {
    /// The version that the control plane goes by now.
    pub version: u64,
    /// Whether the adopted release still verifies under it; if not, nothing is dispatched until one is
    /// published that does. `None`: no release has been adopted.
    pub release_trusted: Option<bool>,
}
