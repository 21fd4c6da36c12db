//! The words for every reason: what operators read in the API, the CLI and the log.

use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{Reason, RolloutState};

use super::{Gate, Hold};
use crate::fleet::Fleet;

impl Hold {
    /// The case, as a stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Recovering { .. } => "recovering",
            Self::Unreported => "unreported",
            Self::RolloutState(RolloutState::Superseded) => "rollout-superseded",
            Self::RolloutState(_) => "rollout-halted",
            Self::Frozen => "rollout-frozen",
            Self::NotMember => "host-not-in-fleet",
            Self::Stale { .. } => "stale",
            Self::Quarantined { .. } => "quarantined",
            Self::NeverSeen => "never-seen",
            Self::Silent { .. } => "silent",
            Self::SkippedOffline => "skipped-offline",
            Self::Busy { .. } => "busy-elsewhere",
            Self::BackOff { .. } => "back-off",
            Self::RetriesUsedUp => "retries-used-up",
            Self::ChannelNotDone { .. } => "channel-not-done",
            Self::EarlierWave { .. } => "earlier-wave",
            Self::Predecessor { .. } => "predecessor-not-converged",
            Self::BudgetUsedUp { .. } => "budget-used-up",
            Self::Unhealthy { .. } => "earlier-wave-unhealthy",
        }
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Recovering { unreported } => {
                format!(
                    "the control plane has just started; {unreported} hosts have not reported yet"
                )
            }
            Self::Unreported => {
                "the host has not reported since the control plane started".to_owned()
            }
            Self::RolloutState(state) => {
                format!("the rollout is {state}: nothing more is dispatched")
            }
            Self::Frozen => "too many hosts failed for reasons other than the closure".to_owned(),
            Self::NotMember => "the host is not in the signed fleet any more".to_owned(),
            Self::Stale { since } => {
                format!("the signed manifest has not been fresh since {since}")
            }
            Self::Quarantined { closure, channel, host, since } => {
                format!("{closure} failed on {host} and is quarantined on {channel} since {since}")
            }
            Self::NeverSeen => "the host has not been heard from yet".to_owned(),
            Self::Silent { since: Some(since) } => {
                format!("the host has been silent since {since}")
            }
            Self::Silent { since: None } => "the host is silent".to_owned(),
            Self::SkippedOffline => {
                "the host was left out because it was silent; it is dispatched when it returns"
                    .to_owned()
            }
            Self::Busy { rollout_id, since } => {
                format!("the host is being worked on under {rollout_id} since {since}")
            }
            Self::BackOff { until } => format!("the host failed and is tried again after {until}"),
            Self::RetriesUsedUp => {
                "the host failed for reasons other than the closure too often".to_owned()
            }
            Self::ChannelNotDone { channel, rollout_id } => {
                format!("channel {channel} goes first and {rollout_id} is not done")
            }
            Self::EarlierWave { current, own } => {
                format!("wave {current} is being worked on; the host is in wave {own}")
            }
            Self::Predecessor { host } => format!("{host} goes before it and has not converged"),
            Self::BudgetUsedUp { budget, max_in_flight, users } => {
                let users: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
                let users = users.join(", ");
                format!("budget {budget} allows {max_in_flight} at once; in use by {users}")
            }
            Self::Unhealthy { wave, hosts, tolerated } => {
                format!("{hosts} hosts of wave {wave} are unhealthy; {tolerated} are tolerated")
            }
        }
    }

    /// Since when, where the reason itself tells.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Stale { since } | Self::Quarantined { since, .. } | Self::Busy { since, .. } => {
                Some(*since)
            }
            Self::Silent { since } => *since,
            Self::Recovering { .. }
            | Self::Unreported
            | Self::RolloutState(_)
            | Self::Frozen
            | Self::NotMember
            | Self::NeverSeen
            | Self::SkippedOffline
            | Self::BackOff { .. }
            | Self::RetriesUsedUp
            | Self::ChannelNotDone { .. }
            | Self::EarlierWave { .. }
            | Self::Predecessor { .. }
            | Self::BudgetUsedUp { .. }
            | Self::Unhealthy { .. } => None,
        }
    }

    fn earliest_at(&self, fleet: &Fleet, now: Now) -> Option<Timestamp> {
        match self {
            Self::Recovering { .. } => fleet.recovering.deadline.map(|at| now.wall_at(at)),
            Self::BackOff { until } => Some(*until),
            Self::Unreported
            | Self::RolloutState(_)
            | Self::Frozen
            | Self::NotMember
            | Self::Stale { .. }
            | Self::Quarantined { .. }
            | Self::NeverSeen
            | Self::Silent { .. }
            | Self::SkippedOffline
            | Self::Busy { .. }
            | Self::RetriesUsedUp
            | Self::ChannelNotDone { .. }
            | Self::EarlierWave { .. }
            | Self::Predecessor { .. }
            | Self::BudgetUsedUp { .. }
            | Self::Unhealthy { .. } => None,
        }
    }

    fn clears_when(&self) -> &'static str {
        match self {
            Self::Recovering { .. } => {
                "every host with unfinished work has reported, or the time is up"
            }
            Self::Unreported | Self::NeverSeen | Self::Silent { .. } | Self::SkippedOffline => {
                "the host sends a heartbeat"
            }
            Self::RolloutState(_) => "a newer release is published on the channel",
            Self::Frozen => "the failed hosts are repaired",
            Self::NotMember => "a release names the host again",
            Self::Stale { .. } => "a release signed anew is published",
            Self::Quarantined { .. } => "a release names another closure",
            Self::Busy { .. } => "the host has finished there, or rolled back",
            Self::BackOff { .. } => "the time is up",
            Self::RetriesUsedUp => "a newer release is published on the channel",
            Self::ChannelNotDone { .. } => "every host of that rollout is done",
            Self::EarlierWave { .. } => "every host of the earlier waves is done",
            Self::Predecessor { .. } => "that host has converged",
            Self::BudgetUsedUp { .. } => "one of them has converged or rolled back",
            Self::Unhealthy { .. } => "their probes pass again",
        }
    }

    /// The reason as operators read it.
    #[must_use]
    pub fn reason(&self, gate: Gate, since: Option<Timestamp>, fleet: &Fleet, now: Now) -> Reason {
        Reason {
            gate: gate.as_str().to_owned(),
            code: self.code().to_owned(),
            detail: self.detail(),
            since: since.or_else(|| self.since()),
            earliest_at: self.earliest_at(fleet, now),
            clears_when: self.clears_when().to_owned(),
        }
    }
}
