//! Performing the writing effects of one decision, in one transaction.

use rusqlite::{Transaction, params};
use serde::Serialize;
use wavegate_proto::event::JournalEntry;
use wavegate_proto::ids::{JournalId, RolloutId, Seq};
use wavegate_proto::wire::agent::{Rejected, RolloutProof};
use wavegate_state_machine::agent::{Activated, AgentEffect, Answer, Meta, Written};

use super::{Journal, JournalError, columns};

impl Journal {
    /// Commits every writing effect of `effects`; the others are not its business.
    ///
    /// # Errors
    /// When the disk is full or fails; then nothing of `effects` was written.
    pub fn commit(&mut self, effects: &[AgentEffect]) -> Result<(), JournalError> {
        if !effects.iter().any(is_write) {
            return Ok(());
        }
        let transaction = self.db.transaction()?;
        for effect in effects {
            write(&transaction, effect)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Whether an effect must be durable before the ones after it are performed.
fn is_write(effect: &AgentEffect) -> bool {
    match effect {
        AgentEffect::OpenJournal { .. }
        | AgentEffect::AttachProof { .. }
        | AgentEffect::Append { .. }
        | AgentEffect::MarkAnswered { .. }
        | AgentEffect::DropJournal { .. }
        | AgentEffect::SaveMeta(_)
        | AgentEffect::RememberActivated(_)
        | AgentEffect::Reject(_)
        | AgentEffect::Unreject(_) => true,
        AgentEffect::Activate { .. }
        | AgentEffect::Rollback { .. }
        | AgentEffect::SettleOneWay { .. }
        | AgentEffect::StartProbes { .. }
        | AgentEffect::StopProbes
        | AgentEffect::HeartbeatNow
        | AgentEffect::OfferRollout { .. }
        | AgentEffect::FetchPlan { .. }
        | AgentEffect::Satisfied(_)
        | AgentEffect::Log { .. } => false,
    }
}

fn write(db: &Transaction<'_>, effect: &AgentEffect) -> Result<(), JournalError> {
    match effect {
        AgentEffect::OpenJournal { rollout_id, journal_id, proof } => {
            open_journal(db, rollout_id, *journal_id, proof.as_ref())
        }
        AgentEffect::AttachProof { rollout_id: _, journal_id, proof } => {
            attach_proof(db, *journal_id, proof)
        }
        AgentEffect::Append { rollout_id: _, journal_id, entry, written } => {
            append(db, *journal_id, entry, *written)
        }
        AgentEffect::MarkAnswered { rollout_id: _, journal_id, to, refused } => {
            mark_answered(db, *journal_id, *to, *refused)
        }
        AgentEffect::DropJournal { rollout_id } => drop_journals(db, rollout_id),
        AgentEffect::SaveMeta(meta) => save_meta(db, meta),
        AgentEffect::RememberActivated(activated) => remember_activated(db, activated),
        AgentEffect::Reject(rejected) => reject(db, rejected),
        AgentEffect::Unreject(rejected) => unreject(db, rejected),
        AgentEffect::Activate { .. }
        | AgentEffect::Rollback { .. }
        | AgentEffect::SettleOneWay { .. }
        | AgentEffect::StartProbes { .. }
        | AgentEffect::StopProbes
        | AgentEffect::HeartbeatNow
        | AgentEffect::OfferRollout { .. }
        | AgentEffect::FetchPlan { .. }
        | AgentEffect::Satisfied(_)
        | AgentEffect::Log { .. } => Ok(()),
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, JournalError> {
    serde_json::to_string(value).map_err(|e| JournalError::Damaged(e.to_string()))
}

fn open_journal(
    db: &Transaction<'_>,
    rollout: &RolloutId,
    journal: JournalId,
    proof: Option<&RolloutProof>,
) -> Result<(), JournalError> {
    let proof = proof.map(json).transpose()?;
    let mut insert = db.prepare_cached(
        "INSERT INTO journals (journal_id, rollout_id, proof) VALUES (?1, ?2, ?3)",
    )?;
    insert.execute(params![journal.to_string(), rollout.to_string(), proof])?;
    Ok(())
}

fn attach_proof(
    db: &Transaction<'_>,
    journal: JournalId,
    proof: &RolloutProof,
) -> Result<(), JournalError> {
    let mut update = db.prepare_cached("UPDATE journals SET proof = ?2 WHERE journal_id = ?1")?;
    update.execute(params![journal.to_string(), json(proof)?])?;
    Ok(())
}

fn append(
    db: &Transaction<'_>,
    journal: JournalId,
    entry: &JournalEntry,
    written: Written,
) -> Result<(), JournalError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO entries (journal_id, seq, entry, answer, boot_id, mono_millis)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        journal.to_string(),
        columns::integer(entry.seq.0)?,
        json(entry)?,
        columns::answer_text(Answer::Unanswered),
        written.boot_id.to_string(),
        columns::integer(written.mono.millis())?,
    ])?;
    Ok(())
}

fn mark_answered(
    db: &Transaction<'_>,
    journal: JournalId,
    to: Seq,
    refused: Option<(Seq, Answer)>,
) -> Result<(), JournalError> {
    let mut accept = db.prepare_cached(
        "UPDATE entries SET answer = 'accepted'
         WHERE journal_id = ?1 AND seq <= ?2 AND answer = 'unanswered'",
    )?;
    accept.execute(params![journal.to_string(), columns::integer(to.0)?])?;
    if let Some((seq, answer)) = refused {
        let mut refuse =
            db.prepare_cached("UPDATE entries SET answer = ?3 WHERE journal_id = ?1 AND seq = ?2")?;
        let answer = columns::answer_text(answer);
        refuse.execute(params![journal.to_string(), columns::integer(seq.0)?, answer])?;
    }
    Ok(())
}

fn drop_journals(db: &Transaction<'_>, rollout: &RolloutId) -> Result<(), JournalError> {
    db.execute("DELETE FROM journals WHERE rollout_id = ?1", [rollout.to_string()])?;
    Ok(())
}

fn save_meta(db: &Transaction<'_>, meta: &Meta) -> Result<(), JournalError> {
    let values = [
        ("serial", json(&meta.serial)?),
        ("fleet_sha256", json(&meta.fleet_sha256)?),
        ("cp_epoch", json(&meta.cp_epoch)?),
        ("marks", json(&meta.marks)?),
        ("checkpoint", json(&meta.checkpoint)?),
    ];
    let mut put = db.prepare_cached("REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
    for (key, value) in values {
        put.execute(params![key, value])?;
    }
    Ok(())
}

fn remember_activated(db: &Transaction<'_>, activated: &Activated) -> Result<(), JournalError> {
    // REPLACE gives the row a new order: the latest activation stands last.
    let mut put = db.prepare_cached(
        "REPLACE INTO activated (closure, checks, rollout_id, verdict) VALUES (?1, ?2, ?3, ?4)",
    )?;
    put.execute(params![
        activated.closure.to_string(),
        activated.checks.map(|blob| blob.to_string()),
        activated.rollout_id.to_string(),
        columns::verdict_text(activated.verdict),
    ])?;
    Ok(())
}

fn reject(db: &Transaction<'_>, rejected: &Rejected) -> Result<(), JournalError> {
    db.execute(
        "REPLACE INTO rejected (channel, closure, rollout_id, attempt) VALUES (?1, ?2, ?3, ?4)",
        params![
            rejected.channel.as_str(),
            rejected.closure.to_string(),
            rejected.rollout_id.to_string(),
            rejected.attempt.0,
        ],
    )?;
    Ok(())
}

fn unreject(db: &Transaction<'_>, rejected: &Rejected) -> Result<(), JournalError> {
    db.execute(
        "DELETE FROM rejected
         WHERE channel = ?1 AND closure = ?2 AND rollout_id = ?3 AND attempt = ?4",
        params![
            rejected.channel.as_str(),
            rejected.closure.to_string(),
            rejected.rollout_id.to_string(),
            rejected.attempt.0,
        ],
    )?;
    Ok(())
}
