//! What a forecast takes for granted about hosts.
//!
//! Every host that is up sends its heartbeats in time, takes a dispatch and acknowledges it at once, and has one
//! enforce probe. An activation takes as long as hosts of the channel took before, each drawn by itself (see
//! `wavegate_reconciler::forecast::Durations`), in whole seconds; in a fleet of thousands in up to five of them,
//! so that many are through at once. A rollback takes as long as an activation. Approvals are taken as given. No host falls silent while it is
//! worked on, and none returns.

/// What a forecast takes for granted about hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assumptions {
    /// The same seed gives the same run.
    pub seed: u64,
    /// The share of attempts, 0 to 1, whose probe fails after the activation.
    pub fail: f64,
    /// The share of hosts, 0 to 1, that are silent throughout.
    pub offline: f64,
}

impl Assumptions {
    /// Nothing fails, nobody is silent who is not known to be.
    #[must_use]
    pub fn fair(seed: u64) -> Self {
        Self { seed, fail: 0.0, offline: 0.0 }
    }
}
