//! The agent's journal: journals opened and dropped, entries, answers, what was activated and rejected.

use std::path::Path;

use fastrand::Rng;
use rusqlite::Connection;
use wavegate_agent::journal::{JOURNAL_FILE, Journal};
use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{Attempt, BootId, JournalId, RolloutId, Seq, Serial};
use wavegate_proto::time::{Mono, Timestamp};
use wavegate_proto::wire::agent::Rejected;
use wavegate_state_machine::agent::{Activated, AgentEffect, Answer, Meta, Verdict, Written};

use super::trial::{Subject, integrity, tables_except};
use crate::release_kit::closure;

/// A journal is dropped after so many entries, and the next one opened: the file stays small.
const ENTRIES: u64 = 20;

/// The journal that is open, and its last entry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batches {
    journal: u128,
    seq: u64,
}

impl Subject for Journal {
    const FILE: &'static str = JOURNAL_FILE;
    type Batch = Vec<AgentEffect>;
    type Batches = Batches;

    fn open(folder: &Path) -> Result<(Self, String), String> {
        let journal = Self::open(folder).map_err(|error| error.to_string())?;
        journal.load().map_err(|error| error.to_string())?;
        Ok((journal, String::new()))
    }

    fn next(batches: &mut Batches, rng: &mut Rng) -> Vec<AgentEffect> {
        let mut effects = Vec::new();
        if batches.seq >= ENTRIES || batches.journal == 0 {
            if batches.journal > 0 && rng.bool() {
                effects.push(AgentEffect::DropJournal { rollout_id: batches.rollout() });
            }
            batches.journal += 1;
            batches.seq = 0;
            effects.push(AgentEffect::OpenJournal {
                rollout_id: batches.rollout(),
                journal_id: batches.journal_id(),
                proof: None,
            });
        }
        effects.extend((0..rng.u8(1..5)).map(|_| batches.effect(rng)));
        effects
    }

    fn commit(&mut self, batch: &Vec<AgentEffect>) -> Result<(), String> {
        Self::commit(self, batch).map_err(|error| error.to_string())
    }

    /// The journal leaves that to SQLite.
    fn checkpoint(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn check(folder: &Path) -> Result<Vec<String>, String> {
        integrity(&folder.join(JOURNAL_FILE))
    }

    fn queries(connection: &Connection) -> rusqlite::Result<Vec<String>> {
        tables_except(connection, &[])
    }
}

impl Batches {
    fn rollout(&self) -> RolloutId {
        format!("stable@r{}", self.journal).parse().unwrap()
    }

    fn journal_id(&self) -> JournalId {
        JournalId(uuid::Uuid::from_u128(self.journal))
    }

    fn effect(&mut self, rng: &mut Rng) -> AgentEffect {
        let (rollout_id, journal_id) = (self.rollout(), self.journal_id());
        let target = closure(["one", "two", "three"][rng.usize(..3)]);
        match rng.u8(..10) {
            0 => AgentEffect::MarkAnswered {
                rollout_id,
                journal_id,
                to: Seq(self.seq),
                refused: rng.bool().then_some((Seq(self.seq), Answer::Refused)),
            },
            1 => {
                let serial = Serial(rng.u64(1..1000));
                AgentEffect::SaveMeta(Meta { serial, ..Meta::default() })
            }
            2 => AgentEffect::RememberActivated(Activated {
                closure: target,
                checks: None,
                rollout_id,
                verdict: if rng.bool() { Verdict::Converged } else { Verdict::Unproven },
            }),
            3 => AgentEffect::Reject(rejected(rollout_id, target)),
            4 => AgentEffect::Unreject(rejected(rollout_id, target)),
            _ => {
                self.seq += 1;
                let reason = "x".repeat(rng.usize(..400));
                let event = Event::RollbackFailed { reason };
                let at = Timestamp::from_unix_millis(1_800_000_000_000);
                let boot_id = BootId(uuid::Uuid::from_u128(9));
                AgentEffect::Append {
                    rollout_id,
                    journal_id,
                    entry: JournalEntry { seq: Seq(self.seq), at, event },
                    written: Written { boot_id, mono: Mono::from_millis(self.seq) },
                }
            }
        }
    }
}

fn rejected(rollout_id: RolloutId, closure: wavegate_proto::ids::ClosureId) -> Rejected {
    Rejected { channel: rollout_id.channel.clone(), closure, rollout_id, attempt: Attempt(1) }
}
