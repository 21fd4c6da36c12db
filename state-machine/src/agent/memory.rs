//! The agent's disk in memory, for whoever runs many agents in one process: the simulator, the swarm.
//!
//! Not here: what the real one looks like (the agent's `journal`).

use super::effect::AgentEffect;
use super::input::{Activated, Answer, Meta, ProbeSchedule, Restored, StoredEntry, StoredJournal};
use super::one_way::OneWay;
use wavegate_proto::artifact::proof::HostPlan;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{BootId, ClosureId, HostName, JournalId, RolloutId, Seq};
use wavegate_proto::wire::agent::{Rejected, RolloutProof};

/// What survives a crash of the agent.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    /// What it keeps beside its journals.
    pub meta: Meta,
    /// Its journals, in the order in which they were opened.
    pub journals: Vec<MemoryJournal>,
    /// The closures it has activated, the latest last.
    pub activated: Vec<Activated>,
    /// The closures it has rejected, the latest last.
    pub rejected: Vec<Rejected>,
    /// What the host runs.
    pub running: Option<ClosureId>,
    /// What was begun that cannot be undone.
    pub one_way: OneWay,
}

impl MemoryDisk {
    /// What a process that starts reads back; `verify` makes a plan of a stored proof again, `probes` are
    /// those of every closure.
    pub fn restored(
        &self,
        host: HostName,
        boot_id: BootId,
        probes: &[ProbeSchedule],
        verify: impl Fn(&RolloutProof) -> Option<Verified<HostPlan>>,
    ) -> Restored {
        let stored = |journal: &MemoryJournal| StoredJournal {
            rollout_id: journal.rollout_id.clone(),
            journal_id: journal.journal_id,
            proof: journal.proof.clone(),
            plan: journal.proof.as_ref().and_then(&verify),
            probes: probes.to_vec(),
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
            one_way: self.one_way.clone(),
        }
    }

    /// Performs an effect that writes; `false`: it does something else.
    #[must_use]
    pub fn write(&mut self, effect: &AgentEffect) -> bool {
        match effect {
            AgentEffect::OpenJournal { rollout_id, journal_id, proof } => {
                self.journals.retain(|journal| journal.rollout_id != *rollout_id);
                self.journals.push(MemoryJournal {
                    rollout_id: rollout_id.clone(),
                    journal_id: *journal_id,
                    proof: proof.clone(),
                    entries: Vec::new(),
                });
            }
            AgentEffect::AttachProof { journal_id, proof, .. } => {
                if let Some(journal) = self.journal(*journal_id) {
                    journal.proof = Some(proof.clone());
                }
            }
            AgentEffect::Append { journal_id, entry, written, .. } => {
                let (entry, written) = (entry.clone(), *written);
                if let Some(journal) = self.journal(*journal_id) {
                    journal.entries.push(StoredEntry {
                        entry,
                        written,
                        answer: Answer::Unanswered,
                    });
                }
            }
            AgentEffect::MarkAnswered { journal_id, to, refused, .. } => {
                if let Some(journal) = self.journal(*journal_id) {
                    mark(&mut journal.entries, *to, *refused);
                }
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
            AgentEffect::SettleOneWay { .. } => self.one_way = OneWay::Open,
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

    fn journal(&mut self, id: JournalId) -> Option<&mut MemoryJournal> {
        self.journals.iter_mut().find(|journal| journal.journal_id == id)
    }
}

/// One journal on disk.
#[derive(Debug, Clone)]
pub struct MemoryJournal {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The journal.
    pub journal_id: JournalId,
    /// What its plan was verified from.
    pub proof: Option<RolloutProof>,
    /// Its entries, in order.
    pub entries: Vec<StoredEntry>,
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
