//! A host as the control plane meets it: a boot, a journal a rollout, something that runs.
//!
//! Not here: the real agent (see the simulator in `wavegate-tests`).

use std::collections::BTreeMap;

use uuid::Uuid;
use wavegate_proto::canonical::chain_journal;
use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{BootId, ClosureId, JournalId, RolloutId, Seq, Serial, Sha256Hash};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::{
    Checkpoint, Dispatch, Heartbeat, JournalHead, Marks, ProbeCounts, Rejected, ResourceCounts,
    ResourceRef, RolloutProof,
};
use wavegate_state_machine::host::refused_form;

/// A host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) boot_id: BootId,
    pub(crate) uptime_secs: u64,
    pub(crate) running: Option<ClosureId>,
    pub(crate) journals: BTreeMap<RolloutId, Journal>,
    pub(crate) rejected: Vec<Rejected>,
    /// The dispatch it has been given and not answered yet.
    pub(crate) dispatch: Option<Dispatch>,
    /// The rollout it worked on last.
    pub(crate) at: Option<RolloutId>,
    pub(crate) silent: bool,
    /// The end of the log as it was last shown.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The newest release it says to know of.
    pub(crate) serial: Serial,
    /// Its share of the operators' marks.
    pub(crate) marks: Option<Marks>,
    /// What it waits for on other hosts.
    pub(crate) awaiting: Vec<ResourceRef>,
}

/// One journal.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    pub(crate) id: JournalId,
    pub(crate) entries: Vec<JournalEntry>,
    /// What the agent keeps to be able to offer the rollout.
    pub(crate) proof: Option<RolloutProof>,
}

impl Host {
    pub(crate) fn new(number: u128) -> Self {
        Self {
            boot_id: BootId(Uuid::from_u128(number)),
            uptime_secs: 1,
            running: None,
            journals: BTreeMap::new(),
            rejected: Vec::new(),
            dispatch: None,
            at: None,
            silent: false,
            checkpoint: None,
            serial: Serial(0),
            marks: None,
            awaiting: Vec::new(),
        }
    }

    pub(crate) fn heartbeat(&self, at: Timestamp) -> Heartbeat {
        Heartbeat {
            agent_version: "0.1.0".to_owned(),
            boot_id: self.boot_id,
            uptime_secs: self.uptime_secs,
            at,
            cp_epoch: None,
            checkpoint: self.checkpoint,
            serial: self.serial,
            trust_version: None,
            current_closure: self.running.clone(),
            marks_version: self.marks.as_ref().map_or(0, |marks| marks.version),
            marks: self.marks.clone().map(Box::new),
            rollouts: self.journals.iter().map(|(id, j)| (id.clone(), j.head())).collect(),
            rejected: self.rejected.clone(),
            probes: ProbeCounts::default(),
            resources: ResourceCounts::default(),
            awaiting: self.awaiting.clone(),
        }
    }
}

impl Journal {
    pub(crate) fn new(number: u128) -> Self {
        Self { id: JournalId(Uuid::from_u128(number)), entries: Vec::new(), proof: None }
    }

    pub(crate) fn append(&mut self, at: Timestamp, event: Event) -> JournalEntry {
        let seq = Seq(self.entries.len() as u64 + 1);
        let entry = JournalEntry { seq, at, event };
        self.entries.push(entry.clone());
        entry
    }

    /// The control plane has refused an entry: it stands here in its refused form from now on.
    pub(crate) fn note_refused(&mut self, seq: Seq) {
        for entry in self.entries.iter_mut().filter(|entry| entry.seq == seq) {
            *entry = refused_form(entry);
        }
    }

    pub(crate) fn head(&self) -> JournalHead {
        let chained = self.entries.iter().fold(Sha256Hash::default(), |h, e| chain_journal(&h, e));
        JournalHead {
            journal_id: self.id,
            first_seq: Seq(1),
            last_seq: Seq(self.entries.len() as u64),
            head: chained,
        }
    }
}
