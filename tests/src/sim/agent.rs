//! A host's node: the real agent core, a durable journal, and a system that really runs something.

use std::collections::BTreeMap;

use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::ids::{BootId, ClosureId, HostName, JournalId, RolloutId};
use wavegate_proto::record::HostState;
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::agent::{Dispatch, RolloutProof};
use wavegate_state_machine::agent::{
    AgentCore, AgentEffect, JournalIds, MemoryDisk, ProbeSchedule,
};

use super::behaviour::probes;
use crate::release_kit::Kit;

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
    pub disk: MemoryDisk,
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
            disk: MemoryDisk::default(),
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
            Some(verify_rollout_proof(proof, &self.name, &context).unwrap())
        };
        let restored = self.disk.restored(self.name.clone(), self.boot_id, &probes(), verify);
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
