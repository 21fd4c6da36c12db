//! One host of the fleet.

use std::collections::BTreeMap;

use wavegate_proto::ids::{BlobId, BudgetId, ChannelName, ClosureId, JournalId, RolloutId, Seq};
use wavegate_proto::time::Mono;
use wavegate_proto::wire::operator::Hold;
use wavegate_proto::wire::provider::Provider;

use super::liveness::Liveness;

/// One host of the fleet. What is empty for most hosts stands behind a pointer.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// What the adopted release says of it; `None`: it is not in the fleet (any more).
    pub member: Option<Membership>,
    /// What its heartbeats tell.
    pub liveness: Liveness,
    /// Since when it has been known to this process: silence is never counted from before.
    pub known_since: Mono,
    /// An operator's hold on it, expired or not.
    pub hold: Option<Box<Hold>>,
    /// The version of the operators' marks in which that changed last.
    pub hold_version: u64,
    /// What its provider says of the machine: told to people, and decides nothing.
    pub provider: Option<Box<Provider>>,
    /// What it was asked to send again.
    pub replays: BTreeMap<RolloutId, Replay>,
    /// The rollouts that have a record of it, by their opening order. A list: they are few, and the smallest
    /// node of a tree has room for eleven.
    pub(super) rollouts: Vec<(u64, RolloutId)>,
    /// What it contributes to the fleet's counters, as of the last refresh.
    pub(super) contribution: Contribution,
}

/// A journal that a host was asked to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// The journal it announced.
    pub journal_id: JournalId,
    /// The last event it announced.
    pub up_to: Seq,
}

/// What the adopted release says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its channel.
    pub channel: ChannelName,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it should run.
    pub target_closure: ClosureId,
    /// With a store path: the document that holds its probes.
    pub checks: Option<BlobId>,
}

/// What a host contributes to the fleet's counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contribution {
    pub(super) slots: Vec<BudgetId>,
    pub(super) use_of_slots: SlotUse,
    pub(super) by_state: Option<&'static str>,
}

/// Why a host uses its slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SlotUse {
    /// It is being worked on, or nobody knows.
    #[default]
    AtWork,
    /// It is broken, and nothing is done about it.
    Broken,
}

impl Host {
    /// A host that has just become known.
    #[must_use]
    pub fn new(known_since: Mono) -> Self {
        Self {
            member: None,
            liveness: Liveness::default(),
            known_since,
            hold: None,
            hold_version: 0,
            provider: None,
            replays: BTreeMap::new(),
            rollouts: Vec::new(),
            contribution: Contribution::default(),
        }
    }

    /// Notes that a rollout has a record of it.
    pub(super) fn enter(&mut self, order: u64, rollout_id: &RolloutId) {
        let place = (order, rollout_id.clone());
        if let Err(position) = self.rollouts.binary_search(&place) {
            self.rollouts.reserve_exact(1);
            self.rollouts.insert(position, place);
        }
    }

    /// Notes that a rollout has no record of it any more.
    pub(super) fn leave(&mut self, rollout_id: &RolloutId) {
        self.rollouts.retain(|(_, id)| id != rollout_id);
    }
}
