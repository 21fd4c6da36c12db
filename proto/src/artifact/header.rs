//! `rollouts/<channel>@<ref>.json`: the header of a rollout. Its size does not grow with the fleet.

use serde::{Deserialize, Serialize};

use crate::artifact::policy::{Budget, Policy};
use crate::ids::{ChannelName, FleetName, Ref, RolloutId, Serial, Sha256Hash};
use crate::time::{Timestamp, whole_seconds};

/// The most bytes of a header.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// The header of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutHeader {
    /// 1.
    pub schema_version: u32,
    /// The fleet.
    pub fleet: FleetName,
    /// The release's serial.
    pub serial: Serial,
    /// When it was signed.
    #[serde(with = "whole_seconds")]
    pub signed_at: Timestamp,
    /// The channel.
    pub channel: ChannelName,
    /// The ref.
    #[serde(rename = "ref")]
    pub reference: Ref,
    /// How long the signature counts as fresh, in seconds.
    pub freshness_window_secs: u64,
    /// The hash of `fleet.json`'s canonical bytes.
    pub fleet_sha256: Sha256Hash,
    /// How it goes out.
    pub policy: Policy,
    /// The budgets its entries name.
    pub budgets: Vec<Budget>,
    /// The number of entries; at least 1.
    pub host_count: u64,
    /// The RFC 6962 Merkle root over the entries.
    pub host_root: Sha256Hash,
}

impl RolloutHeader {
    /// The rollout it is the header of.
    #[must_use]
    pub fn rollout_id(&self) -> RolloutId {
        RolloutId { channel: self.channel.clone(), reference: self.reference.clone() }
    }
}
