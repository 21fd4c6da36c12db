//! `[enroll]`: what enrollment tokens must have beyond a signature.
//!
//! Not here: judging tokens (the control plane).

use serde::Deserialize;
use wavegate_proto::artifact::fleet::{EnrollMode, FleetEnroll};
use wavegate_proto::ids::EnrollNonce;

/// `[enroll]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollSection {
    /// `open` or `strict`.
    #[serde(default)]
    pub mode: EnrollMode,
    /// In mode `strict`: what tokens without a key must carry.
    pub nonce: Option<EnrollNonce>,
    /// Whether tokens for every host of a pattern count.
    #[serde(default)]
    pub group_tokens: bool,
}

impl EnrollSection {
    /// As it stands in the fleet document.
    #[must_use]
    pub fn to_signed(&self) -> FleetEnroll {
        FleetEnroll { mode: self.mode, nonce: self.nonce.clone(), group_tokens: self.group_tokens }
    }
}
