//! What the simulator has done, and which rare situations it has really reached: a simulator that never
//! reaches what it is for would find nothing and say so happily.

use std::collections::BTreeMap;
use std::fmt;

/// A situation that a test of many seeds must reach at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rare {
    /// The database is deleted while a host soaks.
    WipeDuringSoak,
    /// The database is deleted while a host rolls back.
    WipeDuringRollback,
    /// The database is replaced by an older copy.
    SetBackDatabase,
    /// The control plane is killed between a decision and its commit.
    KilledBeforeCommit,
    /// The control plane is killed between a commit and its answers.
    KilledBeforeAnswer,
    /// An agent is killed between two effects of one decision.
    AgentKilledBetweenEffects,
    /// The control plane refuses an event.
    EventRefused,
    /// A journal is sent again, with an event in it that was refused before.
    ReplayWithRefused,
    /// A host opens another journal in place of the one it had.
    JournalReplaced,
    /// The two sides hold different content of one journal.
    JournalDiverged,
    /// A host brings back a rollout that the database has lost.
    RolloutOffered,
    /// A dispatch lapses.
    DispatchLapsed,
    /// A halt withdraws open dispatches.
    DispatchWithdrawn,
    /// A host is left out because it is silent.
    SkippedOffline,
    /// A host that was left out is taken in again.
    TakenInAgain,
    /// A host is shown as lost.
    Lost,
    /// A host is tried again after a failure that is not the closure's.
    InfraRetry,
    /// A closure is quarantined.
    Quarantined,
    /// A message takes so long that many others overtake it.
    LateMessage,
    /// A host's wall clock is set to another day.
    ClockJumped,
    /// A host joins the fleet with a newer release.
    HostJoined,
    /// A host leaves the fleet in the middle of a rollout.
    HostLeft,
    /// A host keeps what it runs in a new rollout.
    Carried,
    /// A host waits for another channel.
    ChannelHeld,
    /// A host waits for another one that goes before it.
    HostEdgeHeld,
    /// A wave goes on in spite of a failure that the policy tolerates.
    FailureTolerated,
    /// A release takes the place of one that is under way.
    SupersededUnderWay,
    /// Somebody pauses a rollout.
    Paused,
    /// Somebody lets it go on.
    Resumed,
    /// Somebody ends a rollout.
    Aborted,
    /// Somebody approves a wave.
    Approved,
    /// Somebody holds a host.
    HostHeld,
    /// Somebody leaves a host out.
    SkippedByOperator,
    /// A host brings back what somebody has said, after a wiped database.
    MarkRestored,
    /// A wave waits for a maintenance window.
    WindowHeld,
    /// A host is on another channel in a newer release.
    ChangedChannel,
}

impl Rare {
    /// Every one of them.
    pub const ALL: [Self; 36] = [
        Self::WipeDuringSoak,
        Self::WipeDuringRollback,
        Self::SetBackDatabase,
        Self::KilledBeforeCommit,
        Self::KilledBeforeAnswer,
        Self::AgentKilledBetweenEffects,
        Self::EventRefused,
        Self::ReplayWithRefused,
        Self::JournalReplaced,
        Self::JournalDiverged,
        Self::RolloutOffered,
        Self::DispatchLapsed,
        Self::DispatchWithdrawn,
        Self::SkippedOffline,
        Self::TakenInAgain,
        Self::Lost,
        Self::InfraRetry,
        Self::Quarantined,
        Self::LateMessage,
        Self::ClockJumped,
        Self::HostJoined,
        Self::HostLeft,
        Self::Carried,
        Self::ChannelHeld,
        Self::HostEdgeHeld,
        Self::FailureTolerated,
        Self::SupersededUnderWay,
        Self::Paused,
        Self::Resumed,
        Self::Aborted,
        Self::Approved,
        Self::HostHeld,
        Self::SkippedByOperator,
        Self::MarkRestored,
        Self::WindowHeld,
        Self::ChangedChannel,
    ];
}

/// What one world, or several of them, came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub seeds: u64,
    /// Things that happened, on either side.
    pub steps: u64,
    /// Records of hosts in rollouts, of every world as it ended.
    pub host_rollouts: u64,
    pub dispatches: u64,
    /// Deaths of agents and of the control plane.
    pub crashes: u64,
    /// Databases deleted or set back.
    pub wipes: u64,
    pub virtual_millis: u64,
    pub(super) reached: BTreeMap<Rare, u64>,
}

impl Tally {
    pub fn reach(&mut self, rare: Rare) {
        *self.reached.entry(rare).or_default() += 1;
    }

    /// Adds what another world came to.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.host_rollouts += other.host_rollouts;
        self.dispatches += other.dispatches;
        self.crashes += other.crashes;
        self.wipes += other.wipes;
        self.virtual_millis += other.virtual_millis;
        for (rare, times) in &other.reached {
            *self.reached.entry(*rare).or_default() += times;
        }
    }

    /// The situations that never came about.
    pub fn never_reached(&self) -> Vec<Rare> {
        Rare::ALL.into_iter().filter(|rare| !self.reached.contains_key(rare)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seeds={} steps={} host_rollouts={} dispatches={} crashes={} wipes={} virtual_hours={}",
            self.seeds,
            self.steps,
            self.host_rollouts,
            self.dispatches,
            self.crashes,
            self.wipes,
            self.virtual_millis / 3_600_000
        )?;
        for rare in Rare::ALL {
            writeln!(f, "    {rare:?}: {}", self.reached.get(&rare).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}
