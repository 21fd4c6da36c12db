//! One line of `…hosts.jsonl`: what the signed plan says about one host.

use serde::{Deserialize, Serialize};

use crate::ids::{BlobId, BudgetId, ClosureId, HostName, WaveIndex};

/// What the signed plan says about one host. Its JCS bytes are the Merkle leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// Hosts that must have converged before.
    pub after: Vec<HostName>,
    /// Budgets it counts against.
    pub budgets: Vec<BudgetId>,
    /// With a store path: the closure document that holds only its probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<BlobId>,
    /// What it should run.
    pub closure: ClosureId,
    /// The host.
    pub host: HostName,
    /// Its wave.
    pub wave: WaveIndex,
}

impl HostEntry {
    /// The closure document that names the probes: the bundle itself, or what stands beside a store path.
    /// `None`: a store path without probes.
    #[must_use]
    pub fn document(&self) -> Option<BlobId> {
        self.closure.blob().or(self.checks)
    }
}
