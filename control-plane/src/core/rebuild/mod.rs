//! The derived tables from the log: each row is folded again, by the functions that the live core uses,
//! into a fleet that was empty, and gives the rows that were written with it.
//!
//! What was decided is not decided again: a row says what happened, and the fold does it. `fold` holds
//! an arm for every kind; a kind that has none is an error, never skipped. A new kind of the log that
//! changes a derived table gets a payload in `payload`, and its arm there.
//!
//! Not here: decisions, and everything that is not derived from the log (when hosts were last heard
//! from); reading the log and writing the tables (see [`crate::store::rebuild`]).

mod fold;
mod signed;
mod verbs;

pub use super::rows::PRUNED;
pub use signed::Artifacts;

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::ids::{LogSeq, RolloutId, Sha256Hash};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::operator::EventItem;

use super::rows::{LogEnd, Write};
use super::{Core, CoreConfig, Output};

/// A fleet that is folded from the log.
#[derive(Debug)]
pub struct Rebuild<A> {
    core: Core,
    artifacts: A,
    /// The files of the release that was adopted last, by their paths.
    files: BTreeMap<String, Sha256Hash>,
    /// Rollouts that the log prunes further on.
    pruned: BTreeSet<RolloutId>,
}

/// Why a row of the log cannot be folded.
#[derive(Debug, thiserror::Error)]
#[error("log row {seq} ({kind}): {reason}")]
pub struct RebuildError {
    /// Which.
    pub seq: LogSeq,
    /// Its kind.
    pub kind: String,
    /// What is wrong.
    pub reason: Unfoldable,
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum Unfoldable {
    /// This program does not know what it does to the derived tables.
    #[error("this program does not know the kind")]
    UnknownKind,
    /// Its payload does not hold what its kind says.
    #[error("its payload: {0}")]
    Payload(#[from] serde_json::Error),
    /// It is about a host or rollout that is not there.
    #[error("it names no host and rollout that are there")]
    NoPlace,
    /// The record does not take what it took before.
    #[error("the record refuses it: {0}")]
    Refused(String),
    /// A file of a release is not there any more.
    #[error("{path} ({hash}) is missing: it is kept beside the other blobs")]
    Missing {
        /// Its path in the release.
        path: String,
        /// Its SHA-256.
        hash: Sha256Hash,
    },
    /// A file of a release cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// Its path in the release.
        path: String,
        /// Why.
        reason: String,
    },
}

impl<A: Artifacts> Rebuild<A> {
    /// An empty fleet. `artifacts` has the files of the releases that the log names, `pruned` are the
    /// rollouts of its rows of kind [`PRUNED`].
    pub fn new(config: CoreConfig, artifacts: A, pruned: BTreeSet<RolloutId>) -> Self {
        let (epoch, now) = (config.next_epoch, at(Timestamp::from_unix_millis(0)));
        let core = Core::without_rows(config, epoch, LogEnd::default(), now);
        Self { core, artifacts, files: BTreeMap::new(), pruned }
    }

    /// Folds the next row of the log. Returns what was written with it, the row itself apart.
    ///
    /// # Errors
    /// When the row cannot be folded: the log is not one that this program wrote, or a file is missing.
    pub fn fold(&mut self, row: &EventItem) -> Result<Vec<Write>, RebuildError> {
        let failed = |reason| RebuildError { seq: row.seq, kind: row.kind.clone(), reason };
        self.fold_row(row).map_err(failed)?;
        let outputs = std::mem::take(&mut self.core.outputs);
        Ok(outputs.into_iter().filter_map(written).collect())
    }
}

fn written(output: Output) -> Option<Write> {
    match output {
        Output::Write(write) => Some(*write),
        Output::Reply { .. } | Output::CompareLog { .. } => None,
    }
}

/// A moment of the log. Nothing here waits, so the monotonic clock stands still: a lease ends when a row
/// says so.
fn at(wall: Timestamp) -> Now {
    Now { wall, mono: Mono::from_millis(0) }
}
