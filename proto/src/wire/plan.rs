//! `POST /v1/releases/plan`: what publishing a release would do to the fleet as it is now. Nothing is adopted.
//!
//! Not here: the request, which is that of publishing (see [`crate::wire::publish`]).

use serde::{Deserialize, Serialize};

use crate::ids::{
    BudgetId, ChannelName, FleetName, HostName, RolloutId, Serial, WaveIndex, WaveName,
};
use crate::time::Timestamp;
use crate::wire::forecast::{Basis, Expected};
use crate::wire::operator::Reason;

/// How many hosts a planned rollout names as the first to be dispatched.
pub const MAX_FIRST_HOSTS: usize = 20;

/// How many hosts a plan names that do not go.
pub const MAX_LEFT_BEHIND: usize = 100;

/// What publishing a release would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDocument {
    /// The fleet.
    pub fleet: FleetName,
    /// The release's serial.
    pub serial: Serial,
    /// The moment it is judged from.
    pub planned_at: Timestamp,
    /// The rollouts it would open.
    pub rollouts: Vec<PlannedRollout>,
    /// Channels whose content is unchanged: nothing happens there.
    pub unchanged: Vec<ChannelName>,
    /// The budgets of these rollouts.
    pub budgets: Vec<PlannedBudget>,
    /// How many hosts would not have converged in the end.
    pub left_behind: u64,
    /// Which, and why; at most [`MAX_LEFT_BEHIND`].
    pub left_behind_hosts: Vec<LeftBehind>,
    /// What to look at before publishing.
    pub warnings: Vec<String>,
    /// When the last of them is expected to end; `None`: it does not end by itself.
    pub ends: Option<Expected>,
    /// How many runs of the engine this rests on.
    pub runs: u32,
}

/// A rollout that would be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRollout {
    /// Which.
    pub rollout_id: RolloutId,
    /// What it takes the place of.
    pub supersedes: Option<RolloutId>,
    /// Channels that must be done before it.
    pub after: Vec<ChannelName>,
    /// How many hosts wait for another host of the rollout.
    pub hosts_with_edges: u64,
    /// Silence after which a host is left out, in seconds; `None`: the rollout waits for every host.
    pub skip_offline_after_secs: Option<u64>,
    /// Its waves.
    pub waves: Vec<PlannedWave>,
    /// The first hosts that would be dispatched, in order; at most [`MAX_FIRST_HOSTS`].
    pub first: Vec<HostName>,
    /// What would hold hosts of the first wave at once.
    pub held: Vec<PlannedHold>,
    /// When the first host is dispatched, at the earliest.
    pub starts_at: Option<Timestamp>,
    /// When it is expected to end; `None`: it does not end by itself.
    pub ends: Option<Expected>,
    /// Where the durations come from.
    pub basis: Basis,
}

/// A wave of a planned rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// Its position, from 0.
    pub index: WaveIndex,
    /// Its name.
    pub name: WaveName,
    /// How many hosts it has.
    pub hosts: u64,
    /// How many of them run another closure now, as far as is known.
    pub changing: u64,
    /// How many of them are healthy on the closure already: nothing is done there.
    pub no_change: u64,
    /// How long each of its hosts soaks, in seconds.
    pub soak_secs: u64,
    /// Whether a person must approve it.
    pub requires_approval: bool,
    /// When it is expected to begin.
    pub starts: Option<Expected>,
    /// When it is expected to be done.
    pub ends: Option<Expected>,
}

/// A gate that would hold hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedHold {
    /// How many hosts.
    pub hosts: u64,
    /// One of them.
    pub example: HostName,
    /// Why that one.
    pub reason: Reason,
}

/// A budget of the planned rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedBudget {
    /// Its id.
    pub id: BudgetId,
    /// How many of its hosts may be disrupted at once.
    pub max_in_flight: u64,
    /// How many hosts of the planned rollouts it has.
    pub hosts: u64,
    /// How many of them it would hold at some time: with 0 it does not bind.
    pub held: u64,
}

/// A host that would not have converged in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Which.
    pub host: HostName,
    /// In which rollout.
    pub rollout_id: RolloutId,
    /// Why.
    pub reason: Reason,
}
