//! A host's node: the real agent core, a durable journal, and a system that really runs something.

use std::collections::BTreeMap;

use wavegate_proto::artifact::proof::{HostPlan, verify_rollout_proof};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{BootId, ClosureId, HostName, JournalId, RolloutId, Seq};
use wavegate_proto::record::HostState;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::agent::{Dispatch, Rejected, RolloutProof};
use wavegate_state_machine::agent::{
    Activated, AgentCore, AgentEffect, Answer, JournalIds, Meta, ProbeSchedule, Restored,
    StoredEntry, StoredJournal,
};

use super::behaviour::probes;
use crate::release_kit::Kit;

/// What survives a crash of the agent.
#[derive(Debug, Clone, Default)]
pub struct AgentDisk {
    pub meta: Meta,
    pub journals: Vec<DiskJournal>,
    pub activated: Vec<Activated>,
    pub rejected: Vec<Rejected>,
    /// What the host runs.
    pub running: Option<ClosureId>,
}

impl AgentDisk {
    /// What a process that starts reads back; `verify` makes a plan of a stored proof again.
    pub fn restored(
        &self,
        host: HostName,
        boot_id: BootId,
        verify: impl Fn(&RolloutProof) -> Verified<HostPlan>,
    ) -> Restored {
        let stored = |journal: &DiskJournal| StoredJournal {
            rollout_id: journal.rollout_id.clone(),
            journal_id: journal.journal_id,
            proof: journal.proof.clone(),
            plan: journal.proof.as_ref().map(&verify),
            probes: probes(),
            entries: journal.entries.clone(),
        };
        Restored {
            host,
            boot_id,
            meta: self.meta.clone(),
            journals: self.journals.iter().map(stored).collect(),
            activated: self.activated.clone(),
            rejected: self.rejected.clone(),
            current: self.running.clone(),
        }
    }

    /// Performs an effect that writes; `false`: it does something else.
    pub fn write(&mut self, effect: &AgentEffect) -> bool {
        match effect {
            AgentEffect::OpenJournal { rollout_id, journal_id, proof } => {
                self.journals.retain(|journal| journal.rollout_id != *rollout_id);
                self.journals.push(DiskJournal {
                    rollout_id: rollout_id.clone(),
                    journal_id: *journal_id,
                    proof: proof.clone(),
                    entries: Vec::new(),
                });
            }
            AgentEffect::AttachProof { journal_id, proof, .. } => {
                self.journal(*journal_id).proof = Some(proof.clone());
            }
            AgentEffect::Append { journal_id, entry, written, .. } => {
                let (entry, written) = (entry.clone(), *written);
                let stored = StoredEntry { entry, written, answer: Answer::Unanswered };
                self.journal(*journal_id).entries.push(stored);
            }
            AgentEffect::MarkAnswered { journal_id, to, refused, .. } => {
                mark(&mut self.journal(*journal_id).entries, *to, *refused);
            }
            AgentEffect::DropJournal { rollout_id } => {
                self.journals.retain(|journal| journal.rollout_id != *rollout_id);
            }
            AgentEffect::SaveMeta(meta) => self.meta = meta.clone(),
            AgentEffect::RememberActivated(activated) => {
                self.activated.retain(|known| known.closure != activated.closure);
                self.activated.push(activated.clone());
            }
            AgentEffect::Reject(rejected) => self.rejected.push(rejected.clone()),
            AgentEffect::Unreject(cleared) => self.rejected.retain(|r| r != cleared),
            AgentEffect::Activate { .. }
            | AgentEffect::Rollback { .. }
            | AgentEffect::StartProbes { .. }
            | AgentEffect::StopProbes
            | AgentEffect::HeartbeatNow
            | AgentEffect::OfferRollout { .. }
            | AgentEffect::FetchPlan { .. }
            | AgentEffect::Satisfied(_)
            | AgentEffect::Log { .. } => return false,
        }
        true
    }

    fn journal(&mut self, id: JournalId) -> &mut DiskJournal {
        self.journals.iter_mut().find(|journal| journal.journal_id == id).unwrap()
    }
}

/// One journal on disk.
#[derive(Debug, Clone)]
pub struct DiskJournal {
    pub rollout_id: RolloutId,
    pub journal_id: JournalId,
    pub proof: Option<RolloutProof>,
    pub entries: Vec<StoredEntry>,
}

/// What the host is doing; a crash of the agent loses it.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    Activating { rollout_id: RolloutId, closure: ClosureId },
    RollingBack { rollout_id: RolloutId, to: Option<ClosureId> },
}

/// One host.
pub(super) struct Agent {
    pub name: HostName,
    pub boot_id: BootId,
    pub disk: AgentDisk,
    pub core: Option<AgentCore>,
    pub work: Option<(u64, Work)>,
    pub probing: Option<(u64, RolloutId, Vec<ProbeSchedule>)>,
    /// A dispatch whose plan is being fetched, and when the poll was sent.
    pub dispatch: Option<(Dispatch, Mono)>,
    /// Requests without an answer, by number.
    pub waiting: BTreeMap<u64, (Mono, super::network::Request)>,
    pub polling: Option<(u64, Mono)>,
    pub posting: Option<u64>,
    pub heartbeat: Option<u64>,
    pub next_heartbeat: Mono,
    /// When it is looked at next, in milliseconds of the world.
    pub next_tick: u64,
    /// Until when it does not start, in milliseconds of the world.
    pub away_until: u64,
    /// By how much its wall clock is wrong, in milliseconds.
    pub skew_millis: i64,
    /// It has been refused, and does not ask for a dispatch before.
    pub next_poll: Mono,
    /// Rises whenever something under way must not be taken for something newer.
    pub generation: u64,
}

/// Makes journal ids from the simulator's numbers.
pub struct Ids<'a>(pub &'a mut u128);

impl JournalIds for Ids<'_> {
    fn next_id(&mut self) -> JournalId {
        *self.0 += 1;
        JournalId(uuid::Uuid::from_u128(*self.0))
    }
}

impl Agent {
    pub(super) fn new(name: HostName, number: u128) -> Self {
        Self {
            name,
            boot_id: BootId(uuid::Uuid::from_u128(number)),
            disk: AgentDisk::default(),
            core: None,
            work: None,
            probing: None,
            dispatch: None,
            waiting: BTreeMap::new(),
            polling: None,
            posting: None,
            heartbeat: None,
            next_heartbeat: Mono::default(),
            next_tick: 0,
            away_until: 0,
            skew_millis: 0,
            next_poll: Mono::default(),
            generation: 0,
        }
    }

    /// The time as its own clocks show it.
    pub(super) fn clock(&self, now: Now) -> Now {
        let wall = now.wall.unix_millis().saturating_add(self.skew_millis);
        Now { wall: Timestamp::from_unix_millis(wall), mono: now.mono }
    }

    /// The agent's process starts from its disk.
    pub(super) fn start(&mut self, kit: &Kit, now: Now, ids: &mut Ids<'_>) -> Vec<AgentEffect> {
        let verify = |proof: &RolloutProof| {
            let context = kit.context(Timestamp::from_unix_millis(0));
            verify_rollout_proof(proof, &self.name, &context).unwrap()
        };
        let restored = self.disk.restored(self.name.clone(), self.boot_id, verify);
        let (core, effects) = AgentCore::restore(self.clock(now), restored, ids);
        self.core = Some(core);
        self.next_heartbeat = now.mono;
        effects
    }

    /// Whether it soaks under some rollout.
    pub(super) fn soaks(&self) -> bool {
        let mut records = self.core.iter().flat_map(AgentCore::records);
        records.any(|record| record.state == HostState::Soaking)
    }

    pub(super) fn rolls_back(&self) -> bool {
        matches!(self.work, Some((_, Work::RollingBack { .. })))
    }

    /// The agent's process dies: only the disk is left.
    pub(super) fn crash(&mut self) {
        self.core = None;
        self.work = None;
        self.probing = None;
        self.dispatch = None;
        self.waiting.clear();
        self.polling = None;
        self.posting = None;
        self.heartbeat = None;
        self.generation += 1;
    }
}

fn mark(entries: &mut [StoredEntry], to: Seq, refused: Option<(Seq, Answer)>) {
    for stored in entries {
        if stored.entry.seq <= to && stored.answer == Answer::Unanswered {
            stored.answer = Answer::Accepted;
        }
        if let Some((seq, answer)) = refused
            && seq == stored.entry.seq
        {
            stored.answer = answer;
        }
    }
}
