//! The gates: each a pure check that can hold a dispatch, each in a file of its own.
//!
//! The planner stops at the first gate that holds; `explain` asks them all.
//!
//! Not here: what is dispatched (see [`crate::plan`]); words for people (see [`mod@reason`]).

mod approval;
mod budget;
mod busy;
mod channel_edge;
mod freshness;
mod hold;
mod host_edge;
mod offline;
mod probes;
mod quarantine;
mod ramp;
mod recovering;
mod retry;
mod rollout;
mod wave;
mod window;

pub mod reason;

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::ids::{
    BootId, BudgetId, ChannelName, ClosureId, HostName, RolloutId, Serial, WaveIndex,
};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{MarkBy, RolloutState};
use wavegate_proto::wire::provider::ProviderState;

use crate::fleet::Fleet;
use crate::fleet::host::Host;
use crate::fleet::placement::Placement;
use crate::fleet::rollout::Rollout;
use crate::window::WindowState;

pub use offline::{is_online, silent_secs};

/// A gate, by name. The order of the variants is the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// After a start, hosts are heard first.
    Recovering,
    /// The rollout is not going on.
    Rollout,
    /// The manifest is no longer fresh.
    Freshness,
    /// The closure failed on this channel.
    Quarantine,
    /// An operator holds the host.
    Hold,
    /// The host is silent.
    Offline,
    /// The host is being worked on under another rollout.
    Busy,
    /// The host waits before it is tried again.
    Retry,
    /// An earlier channel is not done.
    ChannelEdge,
    /// An earlier wave is not done.
    Wave,
    /// The wave needs a person's approval.
    Approval,
    /// Outside of the maintenance windows.
    Window,
    /// A host that goes before it has not converged.
    HostEdge,
    /// Too many others are disrupted.
    Budget,
    /// Hosts of an earlier wave are unhealthy.
    Probes,
    /// Enough hosts were dispatched within a minute.
    Ramp,
}

impl Gate {
    /// Its name, as operators read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Rollout => "rollout",
            Self::Freshness => "freshness",
            Self::Quarantine => "quarantine",
            Self::Hold => "hold",
            Self::Offline => "offline",
            Self::Busy => "busy",
            Self::Retry => "retry",
            Self::ChannelEdge => "channel-edge",
            Self::Wave => "wave",
            Self::Approval => "approval",
            Self::Window => "window",
            Self::HostEdge => "host-edge",
            Self::Budget => "budget",
            Self::Probes => "probes",
            Self::Ramp => "ramp",
        }
    }
}

/// Why a gate holds: one variant a case, with what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// Hosts have not reported since the start.
    Recovering {
        /// How many.
        unreported: usize,
    },
    /// This host has not reported since the start (G25).
    Unreported,
    /// The rollout is in a state in which nothing is dispatched.
    RolloutState(RolloutState),
    /// An operator has paused the rollout.
    Paused {
        /// By whom and why.
        by: MarkBy,
    },
    /// An operator has ended the rollout.
    Aborted {
        /// By whom and why.
        by: MarkBy,
    },
    /// An operator has left the host out.
    Skipped {
        /// By whom and why, where that is known.
        by: Option<MarkBy>,
    },
    /// The host's certificate has been revoked.
    Revoked,
    /// Two machines use the host's certificate (G15).
    Cloned {
        /// Since when that is known.
        since: Timestamp,
        /// Their boots.
        boots: [BootId; 2],
    },
    /// An operator holds the host.
    Held {
        /// By whom.
        actor: String,
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
        /// Until when; `None`: until released.
        until: Option<Timestamp>,
    },
    /// The wave needs an approval that has not been given.
    NotApproved {
        /// Which.
        wave: WaveIndex,
    },
    /// Enough hosts were dispatched within a minute.
    RampUsedUp {
        /// How many are allowed.
        limit: u64,
        /// Until when.
        until: Timestamp,
    },
    /// Too many infrastructure failures stand.
    Frozen,
    /// The manifest is no longer fresh.
    Stale {
        /// Since when.
        since: Timestamp,
    },
    /// The adopted release does not verify under the trust file that holds now.
    Untrusted {
        /// The version of the trust file.
        version: u64,
        /// The rule that the release breaks.
        code: RuleCode,
        /// Since when.
        since: Timestamp,
    },
    /// A host has shown the signed header of a newer release (G10).
    ReleaseBehind {
        /// Its serial.
        serial: Serial,
        /// Who showed it.
        host: HostName,
        /// When.
        since: Timestamp,
    },
    /// The closure failed on this channel.
    Quarantined {
        /// The channel.
        channel: ChannelName,
        /// The closure.
        closure: ClosureId,
        /// Since when.
        since: Timestamp,
        /// On which host.
        host: HostName,
    },
    /// The host has never been heard from.
    NeverSeen {
        /// What its provider says.
        provider: Option<ProviderState>,
    },
    /// The host has been silent for too long.
    Silent {
        /// Since when; `None`: never heard from by this process.
        since: Option<Timestamp>,
        /// What its provider says.
        provider: Option<ProviderState>,
    },
    /// It is left out of the rollout because it was silent.
    SkippedOffline {
        /// What its provider says.
        provider: Option<ProviderState>,
    },
    /// It is left out of the rollout because it is no longer in the fleet.
    NotMember,
    /// The host is being worked on under another rollout.
    Busy {
        /// Which.
        rollout_id: RolloutId,
        /// Since when.
        since: Timestamp,
    },
    /// The host waits before it is tried again.
    BackOff {
        /// Until when.
        until: Timestamp,
    },
    /// The host failed for reasons other than the closure, as often as it is tried.
    RetriesUsedUp,
    /// An earlier channel is not done.
    ChannelNotDone {
        /// Which.
        channel: ChannelName,
        /// Its rollout.
        rollout_id: RolloutId,
    },
    /// An earlier wave is not done.
    EarlierWave {
        /// The wave being worked on.
        current: WaveIndex,
        /// The host's own.
        own: WaveIndex,
    },
    /// No maintenance window of the policy is open.
    OutsideWindow {
        /// When the next one opens; `None`: the time zones are not known here.
        opens_at: Option<Timestamp>,
    },
    /// A host that goes before it has not converged.
    Predecessor {
        /// Which.
        host: HostName,
    },
    /// The budget is used up.
    BudgetUsedUp {
        /// Which.
        budget: BudgetId,
        /// Its limit.
        max_in_flight: u64,
        /// Who uses it; at most three are named.
        users: Vec<HostName>,
    },
    /// Hosts of an earlier wave are unhealthy.
    Unhealthy {
        /// The wave.
        wave: WaveIndex,
        /// How many hosts.
        hosts: u64,
        /// How many are tolerated.
        tolerated: u64,
    },
}

impl Hold {
    /// Whether it holds every host of a wave alike, but for those that do not wait for their wave: then
    /// one of them is enough to know.
    #[must_use]
    pub fn is_of_the_wave(&self) -> bool {
        match self {
            Self::RolloutState(_)
            | Self::Paused { .. }
            | Self::Aborted { .. }
            | Self::Stale { .. }
            | Self::ReleaseBehind { .. }
            | Self::Untrusted { .. }
            | Self::ChannelNotDone { .. }
            | Self::NotApproved { .. }
            | Self::OutsideWindow { .. }
            | Self::RampUsedUp { .. } => true,
            Self::Recovering { .. }
            | Self::Unreported
            | Self::Frozen
            | Self::Skipped { .. }
            | Self::Revoked
            | Self::Cloned { .. }
            | Self::NotMember
            | Self::Quarantined { .. }
            | Self::Held { .. }
            | Self::NeverSeen { .. }
            | Self::Silent { .. }
            | Self::SkippedOffline { .. }
            | Self::Busy { .. }
            | Self::BackOff { .. }
            | Self::RetriesUsedUp
            | Self::EarlierWave { .. }
            | Self::Predecessor { .. }
            | Self::BudgetUsedUp { .. }
            | Self::Unhealthy { .. } => false,
        }
    }
}

/// What has been decided earlier in the same plan: it counts as if it had happened.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    budgets: BTreeMap<BudgetId, BTreeSet<HostName>>,
    /// Dispatches that count towards the ramp.
    dispatches: BTreeMap<RolloutId, u64>,
    /// Budgets that have held somebody: within a plan they only get fuller.
    used_up: BTreeSet<BudgetId>,
}

impl Planned {
    /// Counts a dispatch.
    pub fn dispatch(&mut self, host: &HostName, placement: &Placement, lane: Lane) {
        if lane != Lane::NoChange {
            *self.dispatches.entry(placement.record.rollout_id.clone()).or_default() += 1;
        }
        for budget in &placement.entry.budgets {
            self.budgets.entry(budget.clone()).or_default().insert(host.clone());
        }
    }

    /// Remembers what has held somebody.
    pub fn note_hold(&mut self, hold: &Hold) {
        if let Hold::BudgetUsedUp { budget, .. } = hold {
            self.used_up.insert(budget.clone());
        }
    }

    /// Whether a host needs no asking: a budget that was noted to hold it has held another one in this
    /// plan. Many may wait for a narrow budget. One that uses a slot itself is asked: it never blocks
    /// itself.
    #[must_use]
    pub fn still_held(&self, fleet: &Fleet, rollout: &Rollout, host: &HostName) -> bool {
        let noted = rollout.placements.get(host).and_then(|placement| placement.held.as_deref());
        let Some(Hold::BudgetUsedUp { budget, .. }) = noted.map(|noted| &noted.hold) else {
            return false;
        };
        self.used_up.contains(budget)
            && fleet.budgets.get(budget).is_some_and(|budget| !budget.users.contains(host))
    }

    fn dispatches(&self, rollout: &RolloutId) -> u64 {
        self.dispatches.get(rollout).copied().unwrap_or(0)
    }

    fn users(&self, budget: &BudgetId) -> impl Iterator<Item = &HostName> {
        self.budgets.get(budget).into_iter().flatten()
    }
}

/// What a gate is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// What has been decided earlier in the same plan.
    pub planned: &'a Planned,
    /// The rollout.
    pub rollout: &'a Rollout,
    /// The host's name.
    pub name: &'a HostName,
    /// The host.
    pub host: &'a Host,
    /// Its place in the rollout.
    pub placement: &'a Placement,
    /// Whether the rollout's maintenance windows are open: the same for all of its hosts.
    pub window: WindowState,
}

type Check = fn(&Candidate<'_>, Now) -> Option<Hold>;

/// Every gate, in the order in which they are asked.
const GATES: [(Gate, Check); 16] = [
    (Gate::Recovering, recovering::check),
    (Gate::Rollout, rollout::check),
    (Gate::Freshness, freshness::check),
    (Gate::Quarantine, quarantine::check),
    (Gate::Hold, hold::check),
    (Gate::Offline, offline::check),
    (Gate::Busy, busy::check),
    (Gate::Retry, retry::check),
    (Gate::ChannelEdge, channel_edge::check),
    (Gate::Wave, wave::check),
    (Gate::Approval, approval::check),
    (Gate::Window, window::check),
    (Gate::HostEdge, host_edge::check),
    (Gate::Budget, budget::check),
    (Gate::Probes, probes::check),
    (Gate::Ramp, ramp::check),
];

/// Which gates a candidate is asked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// All of them.
    Ordinary,
    /// A fix for a host that is broken: not wave, host-edge and probes (G19).
    Fix,
    /// Nothing changes for the host: only recovering, rollout, freshness, hold and offline.
    NoChange,
}

impl Lane {
    /// The lane of a candidate.
    #[must_use]
    pub fn of(candidate: &Candidate<'_>) -> Self {
        let (fleet, host, rollout) = (candidate.fleet, candidate.name, &candidate.rollout.id);
        if fleet.is_no_change(host, rollout) {
            Self::NoChange
        } else if fleet.is_broken_elsewhere(host, rollout) {
            Self::Fix
        } else {
            Self::Ordinary
        }
    }

    fn asks(self, gate: Gate) -> bool {
        match (self, gate) {
            (Self::Ordinary, _) => true,
            (Self::Fix, gate) => !matches!(gate, Gate::Wave | Gate::HostEdge | Gate::Probes),
            (Self::NoChange, gate) => {
                matches!(
                    gate,
                    Gate::Recovering | Gate::Rollout | Gate::Freshness | Gate::Hold | Gate::Offline
                )
            }
        }
    }
}

/// The first gate that holds a candidate.
#[must_use]
pub fn first_hold(candidate: &Candidate<'_>, lane: Lane, now: Now) -> Option<(Gate, Hold)> {
    holds(candidate, lane, now).next()
}

/// Every gate that holds a candidate.
pub fn holds<'a>(
    candidate: &'a Candidate<'a>,
    lane: Lane,
    now: Now,
) -> impl Iterator<Item = (Gate, Hold)> + 'a {
    GATES
        .iter()
        .filter(move |(gate, _)| lane.asks(*gate))
        .filter_map(move |(gate, check)| check(candidate, now).map(|hold| (*gate, hold)))
}
