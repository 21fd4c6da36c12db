//! The agent's core: what it holds, and the one function that takes inputs.
//!
//! Not here: the decisions themselves, a file each beside this one.

use std::collections::BTreeMap;

use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{BootId, ClosureId, HostName, RolloutId};
use wavegate_proto::record::HostRecord;
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::Rejected;

use super::effect::AgentEffect;
use super::heartbeat::DEFAULT_HEARTBEAT_SECS;
use super::input::{
    Activated, AgentInput, Answer, JournalIds, Meta, PendingBootstrap, StoredEntry, Written,
};
use super::one_way::OneWay;
use super::outbox::Posting;
use super::probes::Session;
use super::track::Track;
use crate::host::Lease;

/// The agent's decisions as a plain value.
#[derive(Debug, Clone)]
pub struct AgentCore {
    pub(super) host: HostName,
    pub(super) boot_id: BootId,
    pub(super) meta: Meta,
    pub(super) tracks: BTreeMap<RolloutId, Track>,
    pub(super) opened: u64,
    /// The latest last.
    pub(super) activated: Vec<Activated>,
    /// The latest last; at most [`wavegate_proto::wire::agent::MAX_REJECTED`].
    pub(super) rejected: Vec<Rejected>,
    pub(super) session: Option<Session>,
    pub(super) bootstrap: PendingBootstrap,
    pub(super) posting: Option<Posting>,
    pub(super) posts: u64,
    pub(super) heartbeat_secs: u64,
    pub(super) current: Option<ClosureId>,
    /// What stands in the way of going back.
    pub(super) one_way: OneWay,
}

/// What a step is given and what it has decided so far.
pub(super) struct Step<'a> {
    pub(super) now: Now,
    pub(super) ids: &'a mut dyn JournalIds,
    pub(super) effects: Vec<AgentEffect>,
}

impl Step<'_> {
    pub(super) fn push(&mut self, effect: AgentEffect) {
        self.effects.push(effect);
    }

    pub(super) fn log(&mut self, message: impl Into<String>) {
        self.push(AgentEffect::Log { message: message.into() });
    }
}

impl AgentCore {
    pub(super) fn empty(
        host: HostName,
        boot_id: BootId,
        meta: Meta,
        current: Option<ClosureId>,
    ) -> Self {
        Self {
            host,
            boot_id,
            meta,
            tracks: BTreeMap::new(),
            opened: 0,
            activated: Vec::new(),
            rejected: Vec::new(),
            session: None,
            bootstrap: BTreeMap::new(),
            posting: None,
            posts: 0,
            heartbeat_secs: DEFAULT_HEARTBEAT_SECS,
            current,
            one_way: OneWay::Open,
        }
    }

    /// Takes one input and says what is to be done, in order.
    pub fn handle(
        &mut self,
        now: Now,
        input: AgentInput,
        ids: &mut dyn JournalIds,
    ) -> Vec<AgentEffect> {
        let mut step = Step { now, ids, effects: Vec::new() };
        self.take(&mut step, input);
        self.judge_health(&mut step);
        self.compact(&mut step);
        step.effects
    }

    fn take(&mut self, step: &mut Step<'_>, input: AgentInput) {
        match input {
            AgentInput::DispatchOffered { dispatch, polled_at, plan, current } => {
                self.current = current;
                self.dispatch_offered(step, &dispatch, polled_at, plan);
            }
            AgentInput::EventsAnswered { rollout_id, journal_id, outcome } => {
                self.events_answered(step, &rollout_id, journal_id, &outcome);
            }
            AgentInput::RolloutOffered { rollout_id, taken } => {
                self.rollout_offered(step, &rollout_id, taken);
            }
            AgentInput::HeartbeatAnswered(answer) => self.heartbeat_answered(step, answer),
            AgentInput::ActivationEnded { rollout_id, outcome } => {
                self.activation_ended(step, &rollout_id, outcome);
            }
            AgentInput::OneWay(one_way) => self.one_way = one_way,
            AgentInput::RollbackEnded { rollout_id, outcome } => {
                self.rollback_ended(step, &rollout_id, outcome);
            }
            AgentInput::ProbeReported { rollout_id, name, outcome, reason, sub_results } => {
                self.probe_reported(step, &rollout_id, (name, outcome, reason, sub_results));
            }
            AgentInput::ResourceObserved { event } => self.resource_observed(step, event),
            AgentInput::BootstrapPlan { rollout_id, plan, current } => {
                self.current = current;
                self.bootstrap_plan(step, &rollout_id, plan);
            }
            AgentInput::Tick => {}
        }
    }

    /// Folds `event` and journals it. What our own machine refuses is not journaled: it is a bug or
    /// came too late, and the log says so.
    pub(super) fn append(&mut self, step: &mut Step<'_>, id: &RolloutId, event: Event) -> bool {
        self.append_leased(step, id, event, Lease::None)
    }

    pub(super) fn append_leased(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        event: Event,
        lease: Lease,
    ) -> bool {
        let Some(track) = self.tracks.get_mut(id) else {
            return false;
        };
        let entry = JournalEntry { seq: track.last_seq().next(), at: step.now.wall, event };
        let written = Written { boot_id: self.boot_id, mono: step.now.mono };
        let stored = StoredEntry { entry: entry.clone(), written, answer: Answer::Unanswered };
        if let Err(refusal) = track.append(stored, lease) {
            step.log(format!("{id}: {} not journaled: {refusal}", entry.event.kind()));
            return false;
        }
        let journal_id = track.journal_id;
        step.push(AgentEffect::Append { rollout_id: id.clone(), journal_id, entry, written });
        true
    }

    fn resource_observed(&mut self, step: &mut Step<'_>, event: Event) {
        let observed = matches!(
            event,
            Event::ResourceChanged { .. }
                | Event::DriftDetected { .. }
                | Event::DriftCorrected { .. }
        );
        if let Some(id) = self.running_rollout()
            && observed
        {
            self.append(step, &id, event);
        }
    }

    /// The rollout to which what happens on the host belongs: the newest one that has left pending.
    fn running_rollout(&self) -> Option<RolloutId> {
        self.running_track().map(|track| track.record.rollout_id.clone())
    }

    /// The track of that rollout.
    pub(super) fn running_track(&self) -> Option<&Track> {
        let left_pending =
            |t: &&Track| t.record.state != wavegate_proto::record::HostState::Pending;
        self.tracks.values().filter(left_pending).max_by_key(|t| t.order)
    }

    /// The records of the rollouts this host holds a journal of, by rollout id.
    pub fn records(&self) -> impl Iterator<Item = &HostRecord> {
        self.tracks.values().map(|track| &track.record)
    }

    /// What is kept beside the journals.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The closures rejected on this host, the latest last.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The closures this agent has activated, the latest last.
    #[must_use]
    pub fn activated(&self) -> &[Activated] {
        &self.activated
    }

    /// The closures that must stay in the cache: those of rollouts held, current and prior.
    pub fn closures_in_use(&self) -> impl Iterator<Item = &ClosureId> {
        let held = self.tracks.values().flat_map(|track| {
            let record = &track.record;
            [Some(&record.target_closure), record.prior_closure.as_ref()]
        });
        held.chain([self.current.as_ref()]).flatten()
    }
}
