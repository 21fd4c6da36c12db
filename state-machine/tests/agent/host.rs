//! A host for the tests: the core, a disk that performs its writes, and what the shell was told to do.

use std::collections::BTreeMap;

use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::ids::{
    Attempt, BootId, ClosureId, CpEpoch, JournalId, RolloutId, Seq, WaveIndex,
};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::{Mono, Now};
use wavegate_proto::wire::agent::{
    Dispatch, EventsRequest, Heartbeat, HeartbeatAnswer, Rejected, ResourceCounts,
};
use wavegate_state_machine::agent::{
    Activated, ActivationOutcome, AgentCore, AgentEffect, AgentInput, Answer, HostFacts,
    JournalIds, Meta, OfferedPlan, OneWay, PostOutcome, Rejection, Restored, RollbackOutcome,
    StoredEntry, StoredJournal,
};

use crate::plans::{Release, closure, probes, start};

/// How long a lease of the tests is, in seconds.
pub(crate) const LEASE_SECS: u64 = 100;

#[derive(Debug, Default)]
pub(crate) struct CountedIds(u64);

impl JournalIds for CountedIds {
    fn next_id(&mut self) -> JournalId {
        self.0 += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.0).parse().unwrap()
    }
}

/// What survives a restart.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) journals: Vec<StoredJournal>,
    pub(crate) meta: Meta,
    pub(crate) activated: Vec<Activated>,
    pub(crate) rejected: Vec<Rejected>,
    plans: BTreeMap<RolloutId, OfferedPlan>,
}

pub(crate) struct Host {
    pub(crate) core: AgentCore,
    pub(crate) disk: Disk,
    /// What runs on the host.
    pub(crate) current: Option<ClosureId>,
    /// Everything but writes, since last asked.
    pub(crate) told: Vec<AgentEffect>,
    ids: CountedIds,
    /// The engine's list.
    pub(crate) one_way: OneWay,
    pub(crate) mono: Mono,
    boot: BootId,
}

fn boot(n: u8) -> BootId {
    format!("00000000-0000-4000-9000-0000000000{n:02x}").parse().unwrap()
}

pub(crate) fn epoch(n: u8) -> CpEpoch {
    format!("00000000-0000-4000-a000-0000000000{n:02x}").parse().unwrap()
}

impl Host {
    pub(crate) fn new() -> Self {
        let mut ids = CountedIds::default();
        let (mono, boot) = (Mono::from_millis(1_000_000), boot(1));
        let restored = Restored {
            host: "web-1".parse().unwrap(),
            boot_id: boot,
            meta: Meta::default(),
            journals: vec![],
            activated: vec![],
            rejected: vec![],
            current: None,
            one_way: OneWay::Open,
        };
        let now = Now { wall: start(), mono };
        let (core, effects) = AgentCore::restore(now, restored, &mut ids);
        assert_eq!(effects, []);
        let one_way = OneWay::Open;
        let disk = Disk::default();
        Self { core, disk, current: None, told: vec![], ids, one_way, mono, boot }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = start().plus_secs(self.mono.millis() / 1000 - 1000);
        Now { wall, mono: self.mono }
    }

    pub(crate) fn input(&mut self, input: AgentInput) {
        let effects = self.core.handle(self.now(), input, &mut self.ids);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<AgentEffect>) {
        for effect in effects {
            self.disk.write(&effect);
            match effect {
                AgentEffect::OpenJournal { .. }
                | AgentEffect::AttachProof { .. }
                | AgentEffect::Append { .. }
                | AgentEffect::MarkAnswered { .. }
                | AgentEffect::DropJournal { .. }
                | AgentEffect::SaveMeta(_)
                | AgentEffect::RememberActivated(_)
                | AgentEffect::Reject(_)
                | AgentEffect::Unreject(_) => {}
                AgentEffect::Activate { .. }
                | AgentEffect::Rollback { .. }
                | AgentEffect::SettleOneWay { .. }
                | AgentEffect::StartProbes { .. }
                | AgentEffect::StopProbes
                | AgentEffect::HeartbeatNow
                | AgentEffect::OfferRollout { .. }
                | AgentEffect::FetchPlan { .. }
                | AgentEffect::Satisfied(_)
                | AgentEffect::Log { .. } => self.told.push(effect),
            }
        }
    }

    /// What the shell was told since last asked, without what is only logged.
    pub(crate) fn take_told(&mut self) -> Vec<AgentEffect> {
        let mut told = std::mem::take(&mut self.told);
        told.retain(|effect| !matches!(effect, AgentEffect::Log { .. }));
        told
    }

    pub(crate) fn advance(&mut self, secs: u64) {
        self.mono = self.mono.plus_secs(secs);
        self.input(AgentInput::Tick);
    }

    /// The process ends and starts again from what is on disk.
    pub(crate) fn restart(&mut self) {
        let restored = Restored {
            host: "web-1".parse().unwrap(),
            boot_id: self.boot,
            meta: self.disk.meta.clone(),
            journals: self.disk.latest_journals(),
            activated: self.disk.activated.clone(),
            rejected: self.disk.rejected.clone(),
            current: self.current.clone(),
            one_way: self.one_way.clone(),
        };
        self.told.clear();
        let (core, effects) = AgentCore::restore(self.now(), restored, &mut self.ids);
        self.core = core;
        self.perform(effects);
    }

    pub(crate) fn reboot(&mut self) {
        self.boot = boot(2);
        self.mono = Mono::from_millis(1_000_000);
        self.restart();
    }

    pub(crate) fn lose_disk(&mut self) {
        self.disk = Disk::default();
        self.restart();
    }

    pub(crate) fn dispatch(&self, release: &Release, attempt: u32) -> Dispatch {
        Dispatch {
            rollout_id: release.id(),
            channel: "stable".parse().unwrap(),
            wave: WaveIndex(0),
            target_closure: closure(release.closure),
            no_change: false,
            attempt: Attempt(attempt),
            issued_at: self.now().wall,
            expires_at: self.now().wall.plus_secs(LEASE_SECS),
        }
    }

    pub(crate) fn offer_with(&mut self, dispatch: Dispatch, plan: Result<OfferedPlan, Rejection>) {
        if let Ok(offered) = &plan {
            self.disk.plans.insert(dispatch.rollout_id.clone(), offered.clone());
        }
        let (polled_at, current) = (self.mono, self.current.clone());
        self.input(AgentInput::DispatchOffered { dispatch, polled_at, plan, current });
    }

    pub(crate) fn offer(&mut self, release: &Release, attempt: u32) {
        self.offer_with(self.dispatch(release, attempt), Ok(release.offered()));
    }

    pub(crate) fn offer_unchanged(&mut self, release: &Release) {
        let dispatch = Dispatch { no_change: true, ..self.dispatch(release, 1) };
        self.offer_with(dispatch, Ok(release.offered()));
    }

    pub(crate) fn post(&mut self) -> Option<EventsRequest> {
        self.core.next_post(self.now())
    }

    pub(crate) fn answer(&mut self, request: &EventsRequest, outcome: PostOutcome) {
        self.input(AgentInput::EventsAnswered {
            rollout_id: request.rollout_id.clone(),
            journal_id: request.journal_id,
            outcome,
        });
    }

    /// Posts everything there is and has it accepted.
    pub(crate) fn post_all(&mut self) {
        while let Some(request) = self.post() {
            let last_seq = request.events.last().unwrap().seq;
            self.answer(&request, PostOutcome::Accepted { last_seq });
        }
    }

    pub(crate) fn refuse_next(&mut self) -> EventsRequest {
        let request = self.post().unwrap();
        let seq = request.events[0].seq;
        let outcome = PostOutcome::Refused { seq, reason: "no-lease".to_owned(), last_seq: seq };
        self.answer(&request, outcome);
        request
    }

    pub(crate) fn activated(&mut self, release: &Release) {
        self.current = Some(closure(release.closure));
        let outcome = ActivationOutcome::Complete { exit_code: 0, changed: true, probes: probes() };
        self.input(AgentInput::ActivationEnded { rollout_id: release.id(), outcome });
    }

    pub(crate) fn rolled_back(&mut self, release: &Release, to: Option<ClosureId>) {
        self.current.clone_from(&to);
        let outcome = RollbackOutcome::Complete { closure: to, exit_code: 0 };
        self.input(AgentInput::RollbackEnded { rollout_id: release.id(), outcome });
    }

    pub(crate) fn probe(&mut self, release: &Release, name: &str, outcome: ProbeOutcome) {
        self.input(AgentInput::ProbeReported {
            rollout_id: release.id(),
            name: name.parse().unwrap(),
            outcome,
            reason: None,
            sub_results: vec![],
        });
    }

    /// From a dispatch to soak, everything accepted.
    pub(crate) fn soaks(&mut self, release: &Release, attempt: u32) {
        self.offer(release, attempt);
        self.post_all();
        self.activated(release);
        self.post_all();
        assert_eq!(self.state(release), HostState::Soaking);
    }

    /// From a dispatch to converged, everything accepted.
    pub(crate) fn converges(&mut self, release: &Release, attempt: u32) {
        self.soaks(release, attempt);
        self.probe(release, "http", ProbeOutcome::Pass);
        self.advance(crate::plans::SOAK_SECS);
        self.post_all();
        assert_eq!(self.state(release), HostState::Converged);
        self.told.clear();
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        let facts = HostFacts {
            agent_version: "0.1.0".to_owned(),
            uptime_secs: 1,
            trust_version: 1,
            current_closure: self.current.clone(),
            resources: ResourceCounts::default(),
            awaiting: vec![],
        };
        self.core.heartbeat(self.now(), facts)
    }

    pub(crate) fn heartbeat_answered(&mut self, edit: impl FnOnce(&mut HeartbeatAnswer)) {
        let mut answer = HeartbeatAnswer {
            cp_epoch: epoch(1),
            now: self.now().wall,
            next_heartbeat_secs: 60,
            replay: BTreeMap::new(),
            new_journal: vec![],
            cleared: vec![],
            marks: None,
            bootstrap: vec![],
            satisfied: vec![],
            checkpoint: None,
            trust_version: None,
        };
        edit(&mut answer);
        self.input(AgentInput::HeartbeatAnswered(answer));
    }

    pub(crate) fn record(&self, release: &Release) -> &HostRecord {
        let id = release.id();
        self.core.records().find(|record| record.rollout_id == id).unwrap()
    }

    pub(crate) fn state(&self, release: &Release) -> HostState {
        self.record(release).state
    }

    /// The kinds in the rollout's latest journal.
    pub(crate) fn kinds(&self, release: &Release) -> Vec<&'static str> {
        let id = release.id();
        let journal = self.disk.journals.iter().rev().find(|j| j.rollout_id == id);
        journal.map_or(vec![], |j| j.entries.iter().map(|s| s.entry.event.kind()).collect())
    }

    pub(crate) fn last_kind(&self, release: &Release) -> &'static str {
        self.kinds(release).last().copied().unwrap_or("nothing")
    }
}

impl Disk {
    fn latest_journals(&self) -> Vec<StoredJournal> {
        let mut latest: Vec<StoredJournal> = Vec::new();
        for journal in &self.journals {
            match latest.iter_mut().find(|j| j.rollout_id == journal.rollout_id) {
                Some(older) => *older = journal.clone(),
                None => latest.push(journal.clone()),
            }
        }
        latest
    }

    fn journal(&mut self, id: JournalId) -> &mut StoredJournal {
        self.journals.iter_mut().find(|j| j.journal_id == id).unwrap()
    }

    fn write(&mut self, effect: &AgentEffect) {
        match effect.clone() {
            AgentEffect::OpenJournal { rollout_id, journal_id, proof } => {
                let offered = proof.as_ref().and_then(|_| self.plans.get(&rollout_id));
                let plan = offered.map(|offered| offered.plan.clone());
                let (probes, entries) = (probes(), vec![]);
                let journal =
                    StoredJournal { rollout_id, journal_id, proof, plan, probes, entries };
                self.journals.push(journal);
            }
            AgentEffect::AttachProof { rollout_id, journal_id, proof } => {
                let plan = self.plans.get(&rollout_id).map(|offered| offered.plan.clone());
                let journal = self.journal(journal_id);
                journal.plan = plan;
                journal.proof = Some(proof);
            }
            AgentEffect::Append { journal_id, entry, written, .. } => {
                let entries = &mut self.journal(journal_id).entries;
                assert_eq!(entry.seq, Seq(entries.len() as u64 + 1));
                entries.push(StoredEntry { entry, written, answer: Answer::Unanswered });
            }
            AgentEffect::MarkAnswered { journal_id, to, refused, .. } => {
                for stored in &mut self.journal(journal_id).entries {
                    if stored.entry.seq <= to && stored.answer == Answer::Unanswered {
                        stored.answer = Answer::Accepted;
                    }
                    if let Some((_, answer)) = refused.filter(|(seq, _)| *seq == stored.entry.seq) {
                        stored.answer = answer;
                    }
                }
            }
            AgentEffect::DropJournal { rollout_id } => {
                self.journals.retain(|journal| journal.rollout_id != rollout_id);
            }
            AgentEffect::SaveMeta(meta) => self.meta = meta,
            AgentEffect::RememberActivated(activated) => {
                self.activated.retain(|a| a.closure != activated.closure);
                self.activated.push(activated);
            }
            AgentEffect::Reject(rejected) => self.rejected.push(rejected),
            AgentEffect::Unreject(rejected) => self.rejected.retain(|r| *r != rejected),
            AgentEffect::Activate { .. }
            | AgentEffect::Rollback { .. }
            | AgentEffect::SettleOneWay { .. }
            | AgentEffect::StartProbes { .. }
            | AgentEffect::StopProbes
            | AgentEffect::HeartbeatNow
            | AgentEffect::OfferRollout { .. }
            | AgentEffect::FetchPlan { .. }
            | AgentEffect::Satisfied(_)
            | AgentEffect::Log { .. } => {}
        }
    }

    pub(crate) fn keep_plan(&mut self, release: &Release) {
        self.plans.insert(release.id(), release.offered());
    }
}
