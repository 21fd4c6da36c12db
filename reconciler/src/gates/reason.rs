//! The words for every reason: what operators read in the API, the CLI and the log.

use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::ids::{BootId, HostName, Serial};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::operator::{MarkBy, Reason, ReasonKind, RolloutState};
use wavegate_proto::wire::provider::ProviderState;

use super::{Gate, Hold};
use crate::fleet::Fleet;

const NEVER_SEEN: &str = "the host has not been heard from yet";
const SKIPPED_OFFLINE: &str = "left out for its silence until it returns";

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
            Self::Paused { .. } => "rollout-paused",
            Self::Aborted { .. } => "rollout-aborted",
            Self::Skipped { .. } => "skipped-by-operator",
            Self::Revoked => "certificate-revoked",
            Self::Cloned { .. } => "cloned-identity",
            Self::Held { .. } => "held-by-operator",
            Self::NotApproved { .. } => "not-approved",
            Self::RampUsedUp { .. } => "ramp-used-up",
            Self::NotMember => "host-not-in-fleet",
            Self::Stale { .. } => "stale",
            Self::ReleaseBehind { .. } => "release-behind",
            Self::Untrusted { .. } => "release-untrusted",
            Self::Quarantined { .. } => "quarantined",
            Self::NeverSeen { .. } => "never-seen",
            Self::Silent { .. } => "silent",
            Self::SkippedOffline { .. } => "skipped-offline",
            Self::Busy { .. } => "busy-elsewhere",
            Self::BackOff { .. } => "back-off",
            Self::RetriesUsedUp => "retries-used-up",
            Self::ChannelNotDone { .. } => "channel-not-done",
            Self::EarlierWave { .. } => "earlier-wave",
            Self::OutsideWindow { opens_at: Some(_) } => "outside-window",
            Self::OutsideWindow { opens_at: None } => "window-zone-unknown",
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
                format!("the control plane has just started; {unreported} hosts are to report yet")
            }
            Self::Unreported => "the host has not reported since the last start".to_owned(),
            Self::RolloutState(state) => {
                format!("the rollout is {state}: nothing more is dispatched")
            }
            Self::Frozen => "too many hosts failed for reasons other than the closure".to_owned(),
            Self::Paused { by } => said(&by.actor, "has paused the rollout", &by.reason),
            Self::Aborted { by } => said(&by.actor, "has aborted the rollout", &by.reason),
            Self::Skipped { by: Some(MarkBy { actor, reason, .. }) } => {
                said(actor, "has left the host out", reason)
            }
            Self::Skipped { by: None } => "an operator has left the host out".to_owned(),
            Self::Revoked => "the host's certificate has been revoked".to_owned(),
            Self::Cloned { boots, .. } => cloned(boots),
            Self::Held { actor, reason, until, .. } => {
                let until = until.map_or("it is released".to_owned(), |until| until.to_string());
                said(actor, &format!("holds the host until {until}"), reason)
            }
            Self::NotApproved { wave } => format!("wave {wave} needs a person's approval"),
            Self::RampUsedUp { limit, .. } => {
                format!("{limit} hosts a minute are dispatched, and that many have been")
            }
            Self::NotMember => "the host is not in the signed fleet any more".to_owned(),
            Self::Stale { since } => {
                format!("the signed manifest has not been fresh since {since}")
            }
            Self::Untrusted { version, code, .. } => untrusted(*version, *code),
            Self::ReleaseBehind { serial, host, .. } => behind(*serial, host),
            Self::Quarantined { closure, channel, host, since } => {
                format!("{closure} failed on {host} and is quarantined on {channel} since {since}")
            }
            Self::NeverSeen { provider } => beside_provider(NEVER_SEEN, *provider),
            Self::Silent { since, provider } => beside_provider(&silent(*since), *provider),
            Self::SkippedOffline { provider } => beside_provider(SKIPPED_OFFLINE, *provider),
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
            Self::OutsideWindow { opens_at: Some(opens_at) } => {
                format!("outside of the maintenance windows; the next one opens at {opens_at}")
            }
            Self::OutsideWindow { opens_at: None } => {
                "no time zone of the maintenance windows is known to this control plane".to_owned()
            }
            Self::Predecessor { host } => format!("{host} goes before it and has not converged"),
            Self::BudgetUsedUp { budget, max_in_flight, users } => {
                format!("budget {budget} allows {max_in_flight} at once; in use by {}", list(users))
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
            Self::Stale { since }
            | Self::ReleaseBehind { since, .. }
            | Self::Untrusted { since, .. }
            | Self::Cloned { since, .. }
            | Self::Quarantined { since, .. }
            | Self::Busy { since, .. } => Some(*since),
            Self::Silent { since, .. } => *since,
            Self::Paused { by } | Self::Aborted { by } => Some(by.at),
            Self::Skipped { by } => by.as_ref().map(|by| by.at),
            Self::Held { since, .. } => Some(*since),
            Self::Recovering { .. }
            | Self::Unreported
            | Self::RolloutState(_)
            | Self::Frozen
            | Self::Revoked
            | Self::NotApproved { .. }
            | Self::RampUsedUp { .. }
            | Self::NotMember
            | Self::NeverSeen { .. }
            | Self::SkippedOffline { .. }
            | Self::BackOff { .. }
            | Self::RetriesUsedUp
            | Self::ChannelNotDone { .. }
            | Self::EarlierWave { .. }
            | Self::OutsideWindow { .. }
            | Self::Predecessor { .. }
            | Self::BudgetUsedUp { .. }
            | Self::Unhealthy { .. } => None,
        }
    }

    /// The earliest time at which it may open, where that is known.
    #[must_use]
    pub fn earliest_at(&self, fleet: &Fleet, now: Now) -> Option<Timestamp> {
        match self {
            Self::Recovering { .. } => fleet.recovering.deadline.map(|at| now.wall_at(at)),
            Self::BackOff { until } | Self::RampUsedUp { until, .. } => Some(*until),
            Self::Held { until, .. } => *until,
            Self::OutsideWindow { opens_at } => *opens_at,
            Self::Paused { .. }
            | Self::Aborted { .. }
            | Self::Skipped { .. }
            | Self::Revoked
            | Self::Cloned { .. }
            | Self::Untrusted { .. }
            | Self::NotApproved { .. }
            | Self::Unreported
            | Self::RolloutState(_)
            | Self::Frozen
            | Self::NotMember
            | Self::Stale { .. }
            | Self::ReleaseBehind { .. }
            | Self::Quarantined { .. }
            | Self::NeverSeen { .. }
            | Self::Silent { .. }
            | Self::SkippedOffline { .. }
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
            Self::Unreported
            | Self::NeverSeen { .. }
            | Self::Silent { .. }
            | Self::SkippedOffline { .. } => "the host sends a heartbeat",
            Self::RolloutState(RolloutState::Superseded) => "the newer rollout reaches the host",
            Self::RolloutState(_) => {
                "an operator resumes the rollout, or a newer release is published on the channel"
            }
            Self::Frozen => "the failed hosts are repaired, retried or skipped",
            Self::Paused { .. } => "an operator resumes the rollout",
            Self::Aborted { .. } => "a newer release is published on the channel",
            Self::Skipped { .. } => "an operator retries the host, or a newer release is published",
            Self::Revoked => "the host speaks with a certificate issued since",
            Self::Cloned { .. } => {
                "only one of them has been heard for a while: stop the other, and give it a certificate of its own"
            }
            Self::Held { until: Some(_), .. } => "the time is up, or an operator releases the host",
            Self::Held { until: None, .. } => "an operator releases the host",
            Self::NotApproved { .. } => "an operator approves the wave",
            Self::RampUsedUp { .. } => "the time is up",
            Self::NotMember => "a release names the host again",
            Self::Stale { .. } => "a release signed anew is published",
            Self::Untrusted { .. } => "a release signed by the keys that count now is published",
            Self::ReleaseBehind { .. } => "that release, or a newer one, is published",
            Self::Quarantined { .. } => {
                "a release names another closure, or an operator clears the quarantine"
            }
            Self::Busy { .. } => "the host has finished there, or rolled back",
            Self::BackOff { .. } => "the time is up",
            Self::RetriesUsedUp => {
                "an operator retries or skips the host, or a newer release is published"
            }
            Self::ChannelNotDone { .. } => "every host of that rollout is done",
            Self::EarlierWave { .. } => "every host of the earlier waves is done",
            Self::OutsideWindow { opens_at: Some(_) } => "the next maintenance window opens",
            Self::OutsideWindow { opens_at: None } => {
                "a release names a time zone that this control plane knows, or a newer one runs"
            }
            Self::Predecessor { .. } => "that host has converged",
            Self::BudgetUsedUp { .. } => "one of them has converged or rolled back",
            Self::Unhealthy { .. } => "their probes pass again",
        }
    }

    /// Whether it opens by itself.
    #[must_use]
    pub fn kind(&self) -> ReasonKind {
        match self {
            Self::Recovering { .. }
            | Self::RolloutState(RolloutState::Superseded)
            | Self::Held { until: Some(_), .. }
            | Self::Busy { .. }
            | Self::BackOff { .. }
            | Self::ChannelNotDone { .. }
            | Self::EarlierWave { .. }
            | Self::Predecessor { .. }
            | Self::BudgetUsedUp { .. }
            | Self::OutsideWindow { opens_at: Some(_) }
            | Self::RampUsedUp { .. } => ReasonKind::HeldBack,
            Self::RolloutState(_)
            | Self::Frozen
            | Self::Paused { .. }
            | Self::Aborted { .. }
            | Self::Skipped { .. }
            | Self::Revoked
            | Self::Cloned { .. }
            | Self::Untrusted { .. }
            | Self::Held { until: None, .. }
            | Self::NotApproved { .. }
            | Self::OutsideWindow { opens_at: None }
            | Self::NotMember
            | Self::Stale { .. }
            | Self::ReleaseBehind { .. }
            | Self::Quarantined { .. }
            | Self::RetriesUsedUp => ReasonKind::NeedsPerson,
            Self::Unreported
            | Self::NeverSeen { .. }
            | Self::Silent { .. }
            | Self::SkippedOffline { .. }
            | Self::Unhealthy { .. } => ReasonKind::Stuck,
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
            kind: self.kind(),
        }
    }
}

fn list(hosts: &[HostName]) -> String {
    let hosts: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
    hosts.join(", ")
}

/// What a person did, and why.
fn said(actor: &str, what: &str, reason: &str) -> String {
    format!("{actor} {what}: {reason}")
}

fn silent(since: Option<Timestamp>) -> String {
    match since {
        Some(since) => format!("the host has been silent since {since}"),
        None => "the host is silent".to_owned(),
    }
}

/// A host's silence, and what its provider says to it. That a provider does not know says nothing.
#[must_use]
pub fn beside_provider(silence: &str, provider: Option<ProviderState>) -> String {
    match provider {
        Some(said @ (ProviderState::Off | ProviderState::Running)) => {
            format!("{silence}; provider says {said}")
        }
        Some(ProviderState::Unknown) | None => silence.to_owned(),
    }
}

fn cloned([one, other]: &[BootId; 2]) -> String {
    format!("two machines use the host's certificate: boots {one} and {other}")
}

fn untrusted(version: u64, code: RuleCode) -> String {
    format!("under trust version {version} the adopted release is refused: {code}")
}

fn behind(serial: Serial, host: &HostName) -> String {
    format!("{host} has seen release {serial}, which is not adopted here")
}
