//! The live model of the fleet: owned and changed by the control plane's core, read by the planner.
//!
//! Counters and ordered sets are kept up to date by [`Fleet::refresh`], so that a plan costs what it
//! may dispatch, not the size of the fleet.
//!
//! Not here: who changes it and why; what is persisted.

pub mod boots;
pub mod budget;
pub mod by_name;
pub mod channel;
pub mod host;
pub mod liveness;
pub mod placement;
pub mod recovering;
pub mod resource_book;
pub mod rollout;
pub mod tally;

mod by_wave;
mod refresh;
pub mod silence;

use std::collections::BTreeMap;

use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::ids::{
    BudgetId, ChannelName, ClosureId, HostName, LogSeq, RolloutId, Serial, Sha256Hash,
};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::QuarantineDocument;

use budget::Budget;
use by_name::ByName;
use channel::Channel;
use host::Host;
use placement::Placement;
use recovering::Recovering;
use rollout::Rollout;

/// The whole fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// How often agents are asked to send heartbeats, in seconds.
    pub heartbeat_secs: u64,
    /// What is still unreported after the last start.
    pub recovering: Recovering,
    /// The adopted release; `None` before the first.
    pub release: Option<AdoptedRelease>,
    /// A newer release that a host has shown the signed header of; `None`: none is known of.
    pub newer_release: Option<NewerRelease>,
    /// Why the adopted release is not trusted any more; `None`: it is.
    pub untrusted: Option<Untrusted>,
    /// The channels of the adopted release that have hosts.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// Every host of the adopted release, and those that older rollouts still name.
    pub hosts: ByName<Host>,
    /// Every rollout that is not pruned.
    pub rollouts: BTreeMap<RolloutId, Rollout>,
    /// Closures that are not dispatched on a channel any more.
    pub quarantines: BTreeMap<(ChannelName, ClosureId), Quarantine>,
    /// Budgets of every rollout, by id.
    pub budgets: BTreeMap<BudgetId, Budget>,
    /// Member hosts by the state of their newest record.
    pub hosts_by_state: BTreeMap<&'static str, u64>,
}

/// What is known of the adopted release beside its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedRelease {
    /// Its serial.
    pub serial: Serial,
    /// The hash of its fleet document.
    pub fleet_sha256: Sha256Hash,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// A release that is newer than the adopted one: its header was signed, and a host had it (G10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerRelease {
    /// Its serial.
    pub serial: Serial,
    /// Who showed it.
    pub host: HostName,
    /// When.
    pub since: Timestamp,
}

/// The adopted release does not verify under the trust file that holds now: its keys were replaced, or the
/// cut-off lies behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// The version of the trust file.
    pub version: u64,
    /// The rule that the release breaks.
    pub code: RuleCode,
    /// Since when.
    pub since: Timestamp,
}

/// A closure that is not dispatched on a channel any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// As operators read it.
    pub document: QuarantineDocument,
    /// The log row that added it.
    pub log_seq: LogSeq,
}

impl Fleet {
    /// A fleet of which nothing is known yet.
    #[must_use]
    pub fn new(heartbeat_secs: u64, recovering: Recovering) -> Self {
        Self {
            heartbeat_secs,
            recovering,
            release: None,
            newer_release: None,
            untrusted: None,
            channels: BTreeMap::new(),
            hosts: ByName::default(),
            rollouts: BTreeMap::new(),
            quarantines: BTreeMap::new(),
            budgets: BTreeMap::new(),
            hosts_by_state: BTreeMap::new(),
        }
    }

    /// A host's place in a rollout.
    #[must_use]
    pub fn placement(&self, rollout: &RolloutId, host: &HostName) -> Option<&Placement> {
        self.rollouts.get(rollout)?.placements.get(host)
    }

    /// The rollout that is current on a channel.
    #[must_use]
    pub fn current_rollout(&self, channel: &ChannelName) -> Option<&Rollout> {
        self.rollouts.get(&self.channels.get(channel)?.rollout_id)
    }

    /// The newest of a host's records, with its rollout.
    #[must_use]
    pub fn newest(&self, host: &HostName) -> Option<(&Rollout, &Placement)> {
        self.records(host).next()
    }

    /// The newest of a host's records that has left pending, with its rollout.
    #[must_use]
    pub fn newest_started(&self, host: &HostName) -> Option<(&Rollout, &Placement)> {
        self.records(host).find(|(_, placement)| placement.has_left_pending())
    }

    /// A host's records with their rollouts, newest first.
    pub fn records(&self, host: &HostName) -> impl Iterator<Item = (&Rollout, &Placement)> {
        let ids = self.hosts.get(host).into_iter().flat_map(|h| h.rollouts.iter().rev());
        let host = host.clone();
        ids.filter_map(move |(_, id)| {
            let rollout = self.rollouts.get(id)?;
            Some((rollout, rollout.placements.get(&host)?))
        })
    }
}
