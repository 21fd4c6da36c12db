//! The signed rollout policy: waves, soak, thresholds, time-outs.

use serde::{Deserialize, Serialize};

use crate::artifact::window::Window;
use crate::event::FailurePolicy;
use crate::ids::{BudgetId, WaveName};

/// How a rollout goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The waves, in order; at least one.
    pub waves: Vec<Wave>,
    /// What a host does when its health fails.
    pub on_health_failure: FailurePolicy,
    /// For how long an enforce probe must fail without a pass, in seconds.
    pub failure_threshold_secs: u64,
    /// How long an activation may take, in seconds.
    pub activation_timeout_secs: u64,
    /// How long a dispatch may stay unacknowledged, in seconds.
    pub dispatch_timeout_secs: u64,
    /// How long a host may wait for resources of other hosts, in seconds.
    #[serde(default = "default_await_timeout_secs")]
    pub await_timeout_secs: u64,
    /// Artifact failures a wave tolerates.
    pub max_failures: Limit,
    /// Other failures a wave tolerates before the rollout freezes.
    pub max_infra_failures: Limit,
    /// How often a host that failed for other reasons is tried again.
    pub infra_retries: u32,
    /// Silence after which a host counts as offline, in seconds.
    pub offline_after_secs: u64,
    /// Silence after which a host is skipped, in seconds; `None`: never.
    pub skip_offline_after_secs: Option<u64>,
    /// The most dispatches a minute.
    pub max_dispatch_per_minute: Option<u32>,
    /// When dispatches are allowed; empty: always.
    pub windows: Vec<Window>,
}

fn default_await_timeout_secs() -> u64 {
    3600
}

/// An ordered group of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Its name.
    pub name: WaveName,
    /// How long each of its hosts is watched before it counts as converged, in seconds.
    pub soak_secs: u64,
    /// Whether a person must approve it before it starts.
    pub requires_approval: bool,
}

/// A number of hosts of a wave, as a count or as a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// So many.
    Count(u32),
    /// So many of a hundred, rounded down.
    Percent(u32),
}

impl Limit {
    /// The number of hosts this allows in a wave of `hosts`.
    #[must_use]
    pub fn of(self, hosts: u64) -> u64 {
        match self {
            Self::Count(count) => u64::from(count),
            Self::Percent(percent) => hosts.saturating_mul(u64::from(percent)) / 100,
        }
    }
}

/// How many of a group of hosts may be disrupted at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its name; the same name in several rollouts is the same budget.
    pub id: BudgetId,
    /// The most hosts that may use a slot.
    pub max_in_flight: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E16: thresholds at the sizes where rounding surprises.
    #[test]
    fn e16_percentages_are_rounded_down_at_every_size() {
        let table = [(1, 0), (2, 0), (3, 0), (19, 0), (20, 1), (99, 4), (100, 5), (101, 5)];
        for (hosts, allowed) in table {
            assert_eq!(Limit::Percent(5).of(hosts), allowed, "5 % of {hosts}");
        }
        assert_eq!(Limit::Count(3).of(1), 3);
    }
}
