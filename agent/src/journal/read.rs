//! Reading the journal back.

use std::str::FromStr;

use rusqlite::{Row, Statement};
use serde::de::DeserializeOwned;
use wavegate_proto::ids::{JournalId, RolloutId};
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::{Rejected, RolloutProof};
use wavegate_state_machine::agent::{Activated, Meta, StoredEntry, Written};

use super::{Journal, JournalError, columns, note};

/// Everything the journal holds that counts.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// What is kept beside the journals.
    pub meta: Meta,
    /// Of each rollout the journal opened last, in the order in which they were opened.
    pub journals: Vec<RawJournal>,
    /// The closures activated, the latest last.
    pub activated: Vec<Activated>,
    /// The closures rejected, the latest last.
    pub rejected: Vec<Rejected>,
}

/// One journal; its proof has not been verified.
#[derive(Debug, Clone)]
pub struct RawJournal {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The journal.
    pub journal_id: JournalId,
    /// What its plan was verified from.
    pub proof: Option<RolloutProof>,
    /// Its entries, in order.
    pub entries: Vec<StoredEntry>,
}

const JOURNALS: &str = "SELECT journal_id, rollout_id, proof FROM journals
    WHERE opened_order IN (SELECT max(opened_order) FROM journals GROUP BY rollout_id)
    ORDER BY opened_order";
const ENTRIES: &str = "SELECT entry, answer, boot_id, mono_millis FROM entries
    WHERE journal_id = ?1 ORDER BY seq";
const ACTIVATED: &str =
    "SELECT closure, checks, rollout_id, verdict FROM activated ORDER BY activated_order";
const REJECTED: &str =
    "SELECT channel, closure, rollout_id, attempt FROM rejected ORDER BY rejected_order";

impl Journal {
    /// Reads everything that counts.
    ///
    /// # Errors
    /// When the database fails or holds what this agent does not write.
    pub fn load(&self) -> Result<Stored, JournalError> {
        Ok(Stored {
            meta: self.meta()?,
            journals: self.journals()?,
            activated: rows(&mut self.db.prepare(ACTIVATED)?, activated)?,
            rejected: rows(&mut self.db.prepare(REJECTED)?, rejected)?,
        })
    }

    fn journals(&self) -> Result<Vec<RawJournal>, JournalError> {
        let mut journals = rows(&mut self.db.prepare(JOURNALS)?, journal)?;
        let mut entries = self.db.prepare(ENTRIES)?;
        for journal in &mut journals {
            let mut found = entries.query([journal.journal_id.to_string()])?;
            while let Some(row) = found.next()? {
                journal.entries.push(entry(row)?);
            }
        }
        Ok(journals)
    }

    fn meta(&self) -> Result<Meta, JournalError> {
        let mut meta = Meta::default();
        let mut statement = self.db.prepare("SELECT key, value FROM meta")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
            match key.as_str() {
                "serial" => meta.serial = json("serial", &value)?,
                "fleet_sha256" => meta.fleet_sha256 = json("fleet_sha256", &value)?,
                "cp_epoch" => meta.cp_epoch = json("cp_epoch", &value)?,
                "marks" => meta.marks = json("marks", &value)?,
                "checkpoint" => meta.checkpoint = json("checkpoint", &value)?,
                // Not the decisions' business.
                note::TIME_FLOOR | note::CONTACT => {}
                other => return Err(columns::damaged("meta key", other)),
            }
        }
        Ok(meta)
    }
}

fn rows<T>(
    statement: &mut Statement<'_>,
    read: fn(&Row<'_>) -> Result<T, JournalError>,
) -> Result<Vec<T>, JournalError> {
    let mut found = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn journal(row: &Row<'_>) -> Result<RawJournal, JournalError> {
    let proof: Option<String> = row.get(2)?;
    Ok(RawJournal {
        journal_id: parsed(row, 0)?,
        rollout_id: parsed(row, 1)?,
        proof: proof.map(|text| json("proof", &text)).transpose()?,
        entries: Vec::new(),
    })
}

fn entry(row: &Row<'_>) -> Result<StoredEntry, JournalError> {
    let (entry, answer): (String, String) = (row.get(0)?, row.get(1)?);
    let mono: i64 = row.get(3)?;
    let mono =
        u64::try_from(mono).map_err(|_| columns::damaged("mono_millis", &mono.to_string()))?;
    Ok(StoredEntry {
        entry: json("entry", &entry)?,
        written: Written { boot_id: parsed(row, 2)?, mono: Mono::from_millis(mono) },
        answer: columns::answer(&answer)?,
    })
}

fn activated(row: &Row<'_>) -> Result<Activated, JournalError> {
    let checks: Option<String> = row.get(1)?;
    let verdict: String = row.get(3)?;
    let checks = checks.map(|text| text.parse().map_err(|_| columns::damaged("checks", &text)));
    Ok(Activated {
        closure: parsed(row, 0)?,
        checks: checks.transpose()?,
        rollout_id: parsed(row, 2)?,
        verdict: columns::verdict(&verdict)?,
    })
}

fn rejected(row: &Row<'_>) -> Result<Rejected, JournalError> {
    let attempt: u32 = row.get(3)?;
    Ok(Rejected {
        channel: parsed(row, 0)?,
        closure: parsed(row, 1)?,
        rollout_id: parsed(row, 2)?,
        attempt: wavegate_proto::ids::Attempt(attempt),
    })
}

fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> Result<T, JournalError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| columns::damaged("column", &text))
}

pub(super) fn json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, JournalError> {
    serde_json::from_str(text).map_err(|e| JournalError::Damaged(format!("{what}: {e}")))
}
