//! A host for the tests: the core, a disk that performs its writes, and what the shell was told to do.

use std::collections::BTreeMap;

use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::ids::{
    Attempt, BootId, ClosureId, CpEpoch, JournalId, RolloutId, Seq, WaveIndex,
};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::{Mono, Now};
use wavegate_proto::wire::agent::{
    Dispatch, EventsRequest, Heartbeat, HeartbeatAnswer, ResourceCounts, RolloutProof,
};
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentCore, AgentEffect, AgentInput, HostFacts, JournalIds, MemoryDisk, Meta,
    OfferedPlan, OneWay, PostOutcome, ProbeSchedule, Rejection, Restored, RollbackOutcome,
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

pub(crate) struct Host {
    pub(crate) core: AgentCore,
    /// What survives a restart.
    pub(crate) disk: MemoryDisk,
    /// What the shell's own store of proofs verifies to.
    plans: BTreeMap<RolloutId, OfferedPlan>,
    /// The probes of the closure that are at hand at a start.
    pub(crate) probes: Vec<ProbeSchedule>,
    /// What runs on the host.
    pub(crate) current: Option<ClosureId>,
    /// Everything but writes, since last asked.
    pub(crate) told: Vec<AgentEffect>,
    /// How often something was written that is kept beside the journals.
    pub(crate) notes_written: usize,
    ids: CountedIds,
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
        Self {
            core,
            disk: MemoryDisk::default(),
            plans: BTreeMap::new(),
            probes: probes(),
            current: None,
            told: vec![],
            notes_written: 0,
            ids,
            mono,
            boot,
        }
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
            if let AgentEffect::Append { journal_id, entry, .. } = &effect {
                let journal = self.disk.journals.iter().find(|j| j.journal_id == *journal_id);
                assert_eq!(entry.seq, Seq(journal.unwrap().entries.len() as u64 + 1));
            }
            let beside = match &effect {
                AgentEffect::SaveMeta(_)
                | AgentEffect::RememberActivated(_)
                | AgentEffect::Reject(_)
                | AgentEffect::Unreject(_) => true,
                AgentEffect::OpenJournal { .. }
                | AgentEffect::AttachProof { .. }
                | AgentEffect::Append { .. }
                | AgentEffect::MarkAnswered { .. }
                | AgentEffect::DropJournal { .. }
                | AgentEffect::Activate { .. }
                | AgentEffect::Rollback { .. }
                | AgentEffect::SettleOneWay { .. }
                | AgentEffect::StartProbes { .. }
                | AgentEffect::StopProbes
                | AgentEffect::HeartbeatNow
                | AgentEffect::OfferRollout { .. }
                | AgentEffect::FetchPlan { .. }
                | AgentEffect::Satisfied(_)
                | AgentEffect::Log { .. } => false,
            };
            self.notes_written += usize::from(beside);
            let of_the_engine = matches!(effect, AgentEffect::SettleOneWay { .. });
            if !self.disk.write(&effect) || of_the_engine {
                self.told.push(effect);
            }
        }
        self.disk_is_what_the_core_holds();
    }

    /// Memory and disk never say different things: a restart at any moment changes nothing.
    fn disk_is_what_the_core_holds(&self) {
        assert_eq!(self.core.meta(), &self.disk.meta);
        assert_eq!(self.core.rejected(), self.disk.rejected);
        assert_eq!(self.core.activated(), self.disk.activated);
        for record in self.core.records() {
            let mut journals = self.disk.journals.iter();
            let journal = journals.find(|j| j.rollout_id == record.rollout_id).unwrap();
            assert_eq!(record.journal_id, Some(journal.journal_id));
            assert_eq!(record.last_seq, Seq(journal.entries.len() as u64));
        }
    }

    /// Whether anything was logged since last asked what the shell was told.
    pub(crate) fn has_logged(&self) -> bool {
        self.told.iter().any(|effect| matches!(effect, AgentEffect::Log { .. }))
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
        self.disk.running.clone_from(&self.current);
        let plans = self.plans.values();
        let verify = |proof: &RolloutProof| {
            plans.clone().find(|known| known.proof == *proof).map(|known| known.plan.clone())
        };
        let restored =
            self.disk.restored("web-1".parse().unwrap(), self.boot, &self.probes, verify);
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
        self.disk = MemoryDisk::default();
        self.restart();
    }

    pub(crate) fn keep_plan(&mut self, release: &Release) {
        self.plans.insert(release.id(), release.offered());
    }

    /// No proof verifies any more.
    pub(crate) fn forget_plans(&mut self) {
        self.plans.clear();
    }

    /// Gone from the disk: the rollout's journal.
    pub(crate) fn lose_journal(&mut self, release: &Release) {
        let id = release.id();
        self.disk.journals.retain(|journal| journal.rollout_id != id);
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
            self.plans.insert(dispatch.rollout_id.clone(), offered.clone());
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
        assert!(!self.has_logged(), "nothing was tried in vain: {:?}", self.told);
        self.told.clear();
    }

    pub(crate) fn heartbeat(&mut self) -> Heartbeat {
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

    /// A heartbeat, and its answer at once.
    pub(crate) fn heartbeat_answered(&mut self, edit: impl FnOnce(&mut HeartbeatAnswer)) {
        self.heartbeat();
        self.last_heartbeat_answered(edit);
    }

    /// The answer to what was sent last, perhaps a while ago.
    pub(crate) fn last_heartbeat_answered(&mut self, edit: impl FnOnce(&mut HeartbeatAnswer)) {
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
