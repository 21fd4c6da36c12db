//! A channel of the adopted release.

use std::collections::BTreeSet;

use wavegate_proto::ids::{ChannelName, RolloutId};
use wavegate_proto::time::Timestamp;

/// A channel of the adopted release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The rollout that is current on it.
    pub rollout_id: RolloutId,
    /// When its manifest was signed last.
    pub signed_at: Timestamp,
    /// How long that counts as fresh, in seconds.
    pub freshness_window_secs: u64,
    /// How many hosts are on it.
    pub hosts: u64,
    /// Every channel that must be done before it, however far back (G20).
    pub after: BTreeSet<ChannelName>,
}

impl Channel {
    /// Until when its manifest counts as fresh.
    #[must_use]
    pub fn fresh_until(&self) -> Timestamp {
        self.signed_at.plus_secs(self.freshness_window_secs)
    }
}
