//! P2: events of agents made durable a second, one a request; and afterwards, that every one of them that
//! was acknowledged is in the database.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OpenFlags};
use wavegate_control_plane::store::DATABASE_FILE;

use super::figures::Figures;
use super::load::{Side, Sides, Work};
use super::options::Size;
use super::rounds::Comparison;
use super::scene::Scene;

pub(super) async fn measure(
    sides: &mut Sides,
    scene: &Scene,
    size: &Size,
    out: &mut Figures,
) -> Result<()> {
    eprintln!("P2, durable events: ours, reference");
    let comparison = Comparison::measure(sides, Work::Reports, size).await?;
    for host in &sides.ours.hosts {
        let told = host.last_seq()?;
        ensure!(told == host.acknowledged, "{}: {told} is not the last event", host.name);
    }
    let rows = all_are_in_the_log(&sides.ours, scene)?;
    let reference = all_are_in_the_reference(&sides.reference, scene)?;
    out.tell(&comparison.line("P2"))?;
    eprintln!(
        "every acknowledged event is in its database: {rows} of ours, {reference} of the reference"
    );
    Ok(())
}

/// Each host's journal stands in the log from 1 to the last acknowledged event, without a gap.
fn all_are_in_the_log(side: &Side, scene: &Scene) -> Result<i64> {
    let database = read_only(&scene.files().state().join(DATABASE_FILE))?;
    let mut statement = database.prepare(
        "SELECT host, count(*), max(json_extract(payload, '$.seq')) FROM event_log
         WHERE actor = 'host/' || host AND kind <> 'event_refused' GROUP BY host",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    let logged: BTreeMap<String, (i64, i64)> = rows.collect::<Result<_, _>>()?;
    let mut total = 0;
    for host in &side.hosts {
        let (rows, last) = logged.get(host.name.as_str()).copied().context("a host's events")?;
        let acknowledged = i64::try_from(host.acknowledged.0)?;
        ensure!(
            rows == acknowledged && last == acknowledged,
            "{}: {acknowledged} acknowledged, {rows} in the log, the last one {last}",
            host.name
        );
        total += rows;
    }
    Ok(total)
}

fn all_are_in_the_reference(side: &Side, scene: &Scene) -> Result<i64> {
    let database = read_only(&scene.files().reference_database())?;
    let rows: i64 = database.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
    let acknowledged: u64 = side.hosts.iter().map(|host| host.acknowledged.0).sum();
    let acknowledged = i64::try_from(acknowledged)?;
    ensure!(rows == acknowledged, "reference: {acknowledged} acknowledged, {rows} in its table");
    Ok(rows)
}

fn read_only(path: &std::path::Path) -> Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open {}", path.display()))
}
