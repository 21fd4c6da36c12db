//! What operators ask to be done, as the bodies of their requests. Each names its reason.
//!
//! Not here: the answers, which are the documents of the read API (see [`super::operator`]).

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The longest reason, in characters; the shortest has one.
pub const MAX_REASON_CHARS: usize = 500;

/// The most bytes of a verb's body.
pub const MAX_VERB_BYTES: usize = 16 * 1024;

/// The body of a verb that takes nothing but its reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reasoned {
    /// Why, for those who read the log.
    pub reason: Option<String>,
}

/// `POST /v1/rollouts/{id}/resume`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// Why.
    pub reason: Option<String>,
    /// Lift the quarantines of the rollout's closures as well.
    #[serde(default)]
    pub clear_quarantine: bool,
}

/// `PUT /v1/hosts/{host}/hold`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRequest {
    /// Why.
    pub reason: Option<String>,
    /// Until when; `None`: until released.
    #[serde(default)]
    pub until: Option<Timestamp>,
}
