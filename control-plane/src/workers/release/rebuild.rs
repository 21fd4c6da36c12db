//! `wavegate-cp rebuild`: the database made anew from the log and the signed files beside it.
//!
//! Not here: how (see [`crate::store::rebuild`]).

use std::path::Path;

use wavegate_proto::ids::CpEpoch;

use super::artifacts::KeptArtifacts;
use super::check::StateReport;
use crate::app::BLOBS_FOLDER;
use crate::clock::wall;
use crate::core::{CoreConfig, EchoKey};
use crate::exit::{Exit, Failure};
use crate::store::rebuild::{RebuildFailure, TableReport, rebuild};
use crate::store::{DATABASE_FILE, StoreError};

/// Makes a database at `into` from the one in `state_dir`, and says how the two compare.
///
/// # Errors
/// When it cannot be made; nothing is left at `into` then.
pub fn rebuild_state(state_dir: &Path, into: &Path) -> Result<StateReport, Failure> {
    let database = state_dir.join(DATABASE_FILE);
    if !database.exists() {
        let message = format!("rebuild from {}: there is no database", state_dir.display());
        return Err(Failure::new(Exit::Failed, message));
    }
    let artifacts = KeptArtifacts::new(&state_dir.join(BLOBS_FOLDER));
    let rebuilt = rebuild(&database, into, config()?, artifacts, wall()).map_err(failure)?;
    let mut text = format!("log: {} rows\n", rebuilt.rows);
    text.extend(rebuilt.tables.iter().map(line));
    let clean = rebuilt.tables.iter().all(TableReport::is_same);
    text.push_str(&if clean {
        format!("made {}: the same as {}\n", into.display(), database.display())
    } else {
        format!("made {}: {} DIFFERS from its log\n", into.display(), database.display())
    });
    Ok(StateReport { text, clean })
}

/// Folding asks nothing of what a control plane is told.
fn config() -> Result<CoreConfig, Failure> {
    Ok(CoreConfig {
        fleet: "rebuild".parse().map_err(|error| Failure::new(Exit::Failed, error))?,
        heartbeat_secs: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        retain_secs: u64::MAX,
        next_epoch: CpEpoch(uuid::Uuid::nil()),
        echo_key: EchoKey([0; 32]),
    })
}

fn line(table: &TableReport) -> String {
    let TableReport { table: name, rows, only_here, only_there } = table;
    if table.is_same() {
        return format!("{name}: {rows} rows, the same\n");
    }
    format!("{name}: {rows} rows, {only_here} only in the log, {only_there} only in the table\n")
}

fn failure(error: RebuildFailure) -> Failure {
    match &error {
        RebuildFailure::Store(StoreError::Newer { .. }) => {
            Failure::new(Exit::StateUnusable, error)
        }
        RebuildFailure::Exists(_) => Failure::new(Exit::Usage, error).hint("name a new file"),
        RebuildFailure::Log(_) => Failure::new(Exit::Failed, error)
            .hint("put an older copy of the database back, or start without one: hosts send their journals again"),
        RebuildFailure::Fold(_) | RebuildFailure::Store(_) | RebuildFailure::Place(_) => {
            Failure::new(Exit::Failed, error)
        }
    }
}
