//! `status`, `resources`, `journal`, `explain`: reading the state folder, whether the agent runs or not. Nothing
//! is written.

mod show;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use wavegate_proto::ids::RolloutId;
use wavegate_proto::time_floor::TimeFloor;
use wavegate_state_machine::agent::StoredEntry;

use crate::clock;
use crate::config::{ExplainArgs, JournalArgs, ReadArgs, default_state_dir};
use crate::current::Current;
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, JournalError, RawJournal};
use crate::resources::steps::Unhindered;
use crate::snapshot::{self, SnapshotError};

fn state_dir(args: &ReadArgs) -> PathBuf {
    args.state_dir.clone().unwrap_or_else(default_state_dir)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error)
}

fn open(args: &ReadArgs) -> Result<Journal, Failure> {
    Journal::open_read_only(&state_dir(args)).map_err(|error| match error {
        JournalError::NewerVersion { .. } => Failure::new(Exit::StateUnusable, error),
        JournalError::Sqlite(_)
        | JournalError::DiskFull
        | JournalError::JournalMode { .. }
        | JournalError::Migration(_)
        | JournalError::Damaged(_) => {
            failed(error).hint("give the folder of an agent that has run once with --state-dir")
        }
    })
}

/// Shows where this host is in its rollouts.
///
/// # Errors
/// When the state folder cannot be read.
pub fn status(args: &ReadArgs) -> Result<(), Failure> {
    let journal = open(args)?;
    let stored = journal.load().map_err(failed)?;
    let versions = journal.trust_versions().map_err(failed)?;
    let floor = TimeFloor::new(journal.time_floor().map_err(failed)?.unwrap_or_default());
    let wall = clock::wall();
    let current = Current::in_state_dir(&state_dir(args), Arc::new(Unhindered));
    let current = current.read().map_err(failed)?;
    let rollouts: Vec<Value> = stored.journals.iter().map(rollout).collect();
    let document = json!({
        "current_closure": current,
        "serial": stored.meta.serial,
        "trust_version": versions.last().map(|version| version.trust().version),
        "cp_epoch": stored.meta.cp_epoch,
        "contact": journal.contact().map_err(failed)?,
        "clock": {
            "wall": wall,
            "known": floor.at(),
            "behind_secs": floor.behind_secs(wall),
        },
        "rollouts": rollouts,
        "rejected": stored.rejected,
    });
    print(args, &document, show::status)
}

fn rollout(journal: &RawJournal) -> Value {
    let last = journal.entries.last().map(|stored| &stored.entry);
    json!({
        "rollout_id": journal.rollout_id,
        "journal_id": journal.journal_id,
        "last_seq": last.map_or(0, |entry| entry.seq.0),
        "last_event": last.map(|entry| entry.event.kind()),
        "last_at": last.map(|entry| entry.at),
        "unanswered": journal.entries.iter().filter(|stored| is_unanswered(stored)).count(),
    })
}

fn is_unanswered(stored: &StoredEntry) -> bool {
    stored.answer == wavegate_state_machine::agent::Answer::Unanswered
}

/// Shows the resources as `state.json` has them.
///
/// # Errors
/// When the state folder cannot be read.
pub fn resources(args: &ReadArgs) -> Result<(), Failure> {
    print(args, &Value::Array(list(args)?), show::resources)
}

fn list(args: &ReadArgs) -> Result<Vec<Value>, Failure> {
    let loaded = snapshot::peek(&state_dir(args)).map_err(|error| match error {
        SnapshotError::NewerVersion { .. } => Failure::new(Exit::StateUnusable, error),
        SnapshotError::Io(_) => failed(error),
    })?;
    let resources = loaded.snapshot.unwrap_or_default().resources;
    resources
        .into_iter()
        .map(|(id, entry)| {
            let mut item = serde_json::to_value(&entry.status).map_err(failed)?;
            item["id"] = json!(id);
            item["kind"] = json!(entry.kind);
            Ok(item)
        })
        .collect()
}

/// Says of each resource, or of one with its log, what is done about it and why not.
///
/// # Errors
/// When the state folder cannot be read; exit code 2 for an unknown resource.
pub fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let all = list(&args.read)?;
    let Some(wanted) = &args.id else {
        return print(&args.read, &Value::Array(all), show::reasons);
    };
    let found = all.into_iter().find(|item| item["id"] == wanted.as_str());
    let found = found.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("find resource {wanted:?}"))
            .hint("`wavegate-agent resources` lists them")
    })?;
    print(&args.read, &found, show::reason)
}

/// Shows what the agent did, in order.
///
/// # Errors
/// When the state folder cannot be read, or the rollout's name is malformed.
pub fn journal(args: &JournalArgs) -> Result<(), Failure> {
    let wanted: Option<RolloutId> = args
        .rollout
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let stored = open(&args.read)?.load().map_err(failed)?;
    let mut list = Vec::new();
    for journal in stored.journals {
        if wanted.as_ref().is_some_and(|id| *id != journal.rollout_id) {
            continue;
        }
        for stored in journal.entries {
            let answer = format!("{:?}", stored.answer).to_lowercase();
            list.push(json!({
                "rollout_id": journal.rollout_id,
                "seq": stored.entry.seq,
                "at": stored.entry.at,
                "answer": answer,
                "event": stored.entry.event,
            }));
        }
    }
    print(&args.read, &Value::Array(list), show::journal)
}

fn print(args: &ReadArgs, document: &Value, show: fn(&Value) -> String) -> Result<(), Failure> {
    let text = if args.json { format!("{document:#}\n") } else { show(document) };
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(failed),
    }
}
