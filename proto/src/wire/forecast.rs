//! What is expected: when a running rollout will end. Forecasts are made anew at every reading; nothing
//! is decided by them.
//!
//! Not here: what publishing a release would do (see [`crate::wire::plan`]).

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// When something is expected: as likely before as after `p50`, and nine times in ten before `p90`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// As likely before as after.
    pub p50: Timestamp,
    /// Nine times in ten before.
    pub p90: Timestamp,
}

/// When a rollout is expected to end, and what that rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eta {
    /// As likely before as after.
    pub p50: Timestamp,
    /// Nine times in ten before.
    pub p90: Timestamp,
    /// Where the durations come from.
    pub basis: Basis,
}

/// Where the durations of a forecast come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// From hosts that converged in this rollout.
    Rollout,
    /// From hosts that converged on the channel, in this rollout or an earlier one.
    Channel,
    /// Nobody has converged yet: from the policy's time-out of an activation.
    Policy,
}

impl Basis {
    /// The basis as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Channel => "channel",
            Self::Policy => "policy",
        }
    }
}

impl std::fmt::Display for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
