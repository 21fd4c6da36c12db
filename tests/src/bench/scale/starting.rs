//! P6: a start with a long log, beside reading the same log with plain SQLite.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OpenFlags};
use wavegate_control_plane::core::{Core, Stored};
use wavegate_control_plane::store::Store;

use super::super::figures::Figures;
use super::fleet::{Fleet, config};
use super::{millis, quantile, recovery};

const ROUNDS: usize = 5;

pub(in super::super) fn measure(hosts: usize, out: &mut Figures) -> Result<()> {
    let fleet = recovery::in_flight(hosts)?;
    let mut rows = 0;
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rows = 0;
        let begun = Instant::now();
        read_all(&fleet, &mut rows)?;
        reference.push(begun.elapsed());
        ours.push(start(&fleet)?);
    }
    let (ours, reference) = (quantile(&mut ours, 0.5), quantile(&mut reference, 0.5));
    out.tell(&format!(
        "P6 ratio={:.2} ours_ms={:.0} reference_ms={:.0} log_rows={rows} hosts={hosts} target=3",
        millis(ours) / millis(reference),
        millis(ours),
        millis(reference),
    ))?;
    Ok(())
}

/// As a start does: the store opened, the core restored. Verifying and adopting the release of the folder is a
/// cost of releases and not of the log.
pub(super) fn start(fleet: &Fleet) -> Result<Duration> {
    let now = fleet.now();
    let begun = Instant::now();
    let (_store, stored): (Store, Stored) = Store::open(&fleet.database(), now.wall)?;
    ensure!(!stored.new_database, "the database is there");
    let (core, _outputs) = Core::restore(config(), stored, now).map_err(anyhow::Error::msg)?;
    let took = begun.elapsed();
    let rollouts = |core: &Core| core.fleet().rollouts.len();
    ensure!(rollouts(&core) == rollouts(&fleet.core), "not every rollout is back");
    Ok(took)
}

/// Every row of the log with every column.
fn read_all(fleet: &Fleet, rows: &mut u64) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(fleet.database(), flags).context("open")?;
    let mut statement = database.prepare(
        "SELECT seq, at, host, rollout_id, kind, actor, synthetic, payload, chain FROM event_log ORDER BY seq",
    )?;
    let columns = statement.column_count();
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        for column in 0..columns {
            std::hint::black_box(row.get_ref(column)?);
        }
        *rows += 1;
    }
    Ok(())
}
