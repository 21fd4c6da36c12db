//! Walking the log row by row and recomputing its chain: what was edited, removed or put in another
//! place shows, and the first row that does not fit is named.
//!
//! Rows that compaction removed are no finding: a later row of kind [`COMPACTED`], itself in the chain,
//! names each run of them and the chain value it ended with.
//!
//! Not here: reading the rows; a log that was cut off at its end, which only somebody who has seen more
//! of it can tell (see [`crate::wire::agent::Checkpoint`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical::chain_log;
use crate::ids::{LogSeq, Sha256Hash};
use crate::wire::operator::EventItem;

/// The kind of the rows that name what compaction removed.
pub const COMPACTED: &str = "compacted";

/// Rows that compaction removed, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedRun {
    /// The first.
    pub first: LogSeq,
    /// The last.
    pub last: LogSeq,
    /// The chain value of the last.
    pub chain: Sha256Hash,
}

/// The payload of a row of kind [`COMPACTED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// What was removed.
    pub runs: Vec<RemovedRun>,
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogFinding {
    /// A row that should follow is not there.
    #[error("log row {0} is missing")]
    Missing(LogSeq),
    /// A row stands where it does not belong.
    #[error("log row {0} is not in its place")]
    OutOfPlace(LogSeq),
    /// A row does not have the chain value that follows from it and the row before.
    #[error("log row {0}: it was changed, or the row before it")]
    Changed(LogSeq),
    /// Rows are gone that no row of the log says were removed.
    #[error("log row {0} was removed, and no row of the log says so")]
    Unaccounted(LogSeq),
}

impl LogFinding {
    /// The first row that does not fit.
    #[must_use]
    pub fn seq(&self) -> LogSeq {
        match self {
            Self::Missing(seq)
            | Self::OutOfPlace(seq)
            | Self::Changed(seq)
            | Self::Unaccounted(seq) => *seq,
        }
    }
}

/// A walk through the log, from its first row to its last.
#[derive(Debug, Clone, Default)]
pub struct LogWalk {
    last: LogSeq,
    chain: Sha256Hash,
    rows: u64,
    announced: BTreeMap<LogSeq, RemovedRun>,
    /// Runs that were stepped over and not yet named by a row of the log.
    unaccounted: BTreeMap<LogSeq, RemovedRun>,
}

impl LogWalk {
    /// Announces what was removed: the walk steps over it, and expects a row that says so.
    pub fn announce(&mut self, runs: impl IntoIterator<Item = RemovedRun>) {
        self.announced.extend(runs.into_iter().map(|run| (run.first, run)));
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// When it does not fit. The walk is over then: no later row fits either.
    pub fn take(&mut self, row: &EventItem) -> Result<(), LogFinding> {
        while row.seq > self.last.next() {
            let run = self.announced.remove(&self.last.next());
            let run = run.filter(|run| run.last >= run.first && run.last < row.seq);
            let run = run.ok_or(LogFinding::Missing(self.last.next()))?;
            (self.last, self.chain) = (run.last, run.chain);
            self.unaccounted.insert(run.first, run);
        }
        if row.seq <= self.last {
            return Err(LogFinding::OutOfPlace(row.seq));
        }
        let chain = chain_log(&self.chain, row);
        if chain != row.chain {
            return Err(LogFinding::Changed(row.seq));
        }
        (self.last, self.chain) = (row.seq, chain);
        self.rows += 1;
        if row.kind == COMPACTED
            && let Ok(compacted) = Compacted::deserialize(&row.payload)
        {
            for run in compacted.runs {
                if self.unaccounted.get(&run.first) == Some(&run) {
                    self.unaccounted.remove(&run.first);
                }
            }
        }
        Ok(())
    }

    /// Ends the walk.
    ///
    /// # Errors
    /// When rows are gone that no row of the log says were removed.
    pub fn finish(&self) -> Result<(), LogFinding> {
        match self.unaccounted.first_key_value() {
            Some((first, _)) => Err(LogFinding::Unaccounted(*first)),
            None => Ok(()),
        }
    }

    /// How many rows were taken.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The last row that was taken; 0: none was.
    #[must_use]
    pub fn last(&self) -> LogSeq {
        self.last
    }

    /// The chain value of the last row.
    #[must_use]
    pub fn chain(&self) -> Sha256Hash {
        self.chain
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::time::Timestamp;

    fn log(rows: u64) -> Vec<EventItem> {
        let mut log: Vec<EventItem> = Vec::new();
        for number in 1..=rows {
            append(&mut log, "converged", json!({ "number": number }));
        }
        log
    }

    fn append(log: &mut Vec<EventItem>, kind: &str, payload: Value) {
        let mut row = EventItem {
            seq: LogSeq(log.last().map_or(0, |row| row.seq.0) + 1),
            at: Timestamp::from_unix_millis(1_800_000_000_000),
            host: None,
            rollout_id: None,
            kind: kind.to_owned(),
            actor: "control-plane".to_owned(),
            synthetic: false,
            payload,
            chain: Sha256Hash::default(),
        };
        let before = log.last().map_or_else(Sha256Hash::default, |row| row.chain);
        row.chain = chain_log(&before, &row);
        log.push(row);
    }

    fn walk(log: &[EventItem], announced: &[RemovedRun]) -> Result<u64, LogFinding> {
        let mut walk = LogWalk::default();
        walk.announce(announced.iter().copied());
        log.iter().try_for_each(|row| walk.take(row))?;
        walk.finish()?;
        Ok(walk.rows())
    }

    #[test]
    fn the_first_row_that_does_not_fit_is_named() {
        assert_eq!(walk(&log(9), &[]), Ok(9));
        let tampered = |change: fn(&mut Vec<EventItem>)| {
            let mut log = log(9);
            change(&mut log);
            walk(&log, &[]).unwrap_err()
        };
        let edited = tampered(|log| log[4].payload = json!({ "number": 7 }));
        assert_eq!(edited, LogFinding::Changed(LogSeq(5)));
        let removed = tampered(|log| drop(log.remove(2)));
        assert_eq!(removed, LogFinding::Missing(LogSeq(3)));
        let first = tampered(|log| drop(log.remove(0)));
        assert_eq!(first, LogFinding::Missing(LogSeq(1)));
        let swapped = tampered(|log| log.swap(5, 6));
        assert_eq!(swapped, LogFinding::Missing(LogSeq(6)));
        let swapped_and_numbered_anew = tampered(|log| {
            log.swap(5, 6);
            (log[5].seq, log[6].seq) = (LogSeq(6), LogSeq(7));
        });
        assert_eq!(swapped_and_numbered_anew, LogFinding::Changed(LogSeq(6)));
        let repeated = tampered(|log| log.insert(3, log[2].clone()));
        assert_eq!(repeated, LogFinding::OutOfPlace(LogSeq(3)));
        // Whoever edits a row and its own chain value is found at the next one.
        let rehashed = tampered(|log| {
            log[4].payload = json!({ "number": 7 });
            log[4].chain = chain_log(&log[3].chain, &log[4]);
        });
        assert_eq!(rehashed, LogFinding::Changed(LogSeq(6)));
    }

    #[test]
    fn what_compaction_removed_is_stepped_over_when_the_log_says_so() {
        let mut rows = log(9);
        let run = |first: u64, last: u64, log: &[EventItem]| RemovedRun {
            first: LogSeq(first),
            last: LogSeq(last),
            chain: log[usize::try_from(last).unwrap() - 1].chain,
        };
        let runs = vec![run(2, 3, &rows), run(4, 4, &rows), run(7, 8, &rows)];
        append(&mut rows, COMPACTED, logged(&runs));
        let whole = rows.clone();
        rows.retain(|row| !matches!(row.seq.0, 2..=4 | 7..=8));
        assert_eq!(walk(&rows, &runs), Ok(5));
        assert_eq!(walk(&whole, &runs), Ok(10), "rows that are still there are rows like others");

        // A row more is gone than the log says.
        let mut robbed = rows.clone();
        robbed.retain(|row| row.seq.0 != 5);
        assert_eq!(walk(&robbed, &runs), Err(LogFinding::Missing(LogSeq(5))));
        // And somebody announces it.
        let announced = [&runs[..], &[run(5, 5, &whole)]].concat();
        assert_eq!(walk(&robbed, &announced), Err(LogFinding::Unaccounted(LogSeq(5))));
        // The row that says what was removed is edited as well.
        let forged = logged(&announced);
        robbed.last_mut().unwrap().payload = forged;
        assert_eq!(walk(&robbed, &announced), Err(LogFinding::Changed(LogSeq(10))));
        // A row after a gap is edited.
        let mut edited = rows.clone();
        edited[1].payload = json!({ "number": 6 });
        assert_eq!(walk(&edited, &runs), Err(LogFinding::Changed(LogSeq(5))));
    }

    fn logged(runs: &[RemovedRun]) -> Value {
        serde_json::to_value(Compacted { runs: runs.to_vec() }).unwrap()
    }
}
