//! P5: the database is wiped while a rollout is in flight; one round of heartbeats brings everything back.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use wavegate_control_plane::core::{HostFilter, PageRequest, Query};

use super::super::figures::Figures;
use super::fleet::{Fleet, Shape};
use super::millis;

/// How long a wave soaks, in seconds.
pub(super) const SOAK_SECS: u64 = 60;

/// What only the old database could know: when it opened and dispatched, forecasts from durations it saw.
const ONLY_THE_OLD_DATABASE_KNEW: [&str; 5] =
    ["eta", "opened_at", "finished_at", "dispatched_at", "last_seen_at"];

/// A tenth of the fleet, then the rest.
pub(super) fn waves(hosts: usize) -> [usize; 2] {
    let first = (hosts / 10).max(1);
    [first, hosts - first]
}

/// A fleet that has converged on one release, and is in the middle of the next: its first wave has
/// converged, its second soaks.
pub(super) fn in_flight(hosts: usize) -> Result<Fleet> {
    let sizes = waves(hosts);
    let shape = Shape { channels: 1, sizes: &sizes, soak_secs: SOAK_SECS };
    let mut fleet = Fleet::new(&shape.channels("r1", "first"))?;
    fleet.everybody_reports()?;
    fleet.go_out(SOAK_SECS)?;
    fleet.publish(2, &shape.channels("r2", "second"))?;
    fleet.everybody_polls()?;
    let soaking = fleet.activate()?;
    fleet.pass(Duration::from_secs(SOAK_SECS));
    fleet.converge(&soaking, SOAK_SECS)?;
    fleet.everybody_polls()?;
    let soaking = fleet.activate()?;
    ensure!(soaking.len() == sizes[1], "{} hosts are in the second wave", soaking.len());
    // What they run they say with their heartbeats.
    fleet.everybody_reports()?;
    Ok(fleet)
}

pub(in super::super) fn measure(hosts: usize, out: &mut Figures) -> Result<()> {
    let mut fleet = in_flight(hosts)?;
    let before = picture(&mut fleet)?;
    let events: usize =
        fleet.hosts.values().flat_map(|h| h.journals.values()).map(|j| j.entries.len()).sum();
    fleet.spent = Duration::ZERO;
    fleet.wipe()?;
    fleet.everybody_reports()?;
    fleet.commit()?;
    let spent = fleet.spent;
    let after = picture(&mut fleet)?;
    ensure!(before.len() == after.len(), "{} documents, {} before", after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        ensure!(before == after, "before the wipe {before}, after it {after}");
    }
    out.tell(&format!(
        "P5 processing_s={:.1} hosts={hosts} events={events} documents={} target=60s",
        millis(spent) / 1e3,
        before.len(),
    ))?;
    Ok(())
}

/// Every host, rollout, record and quarantine, without what only the old database could know.
fn picture(fleet: &mut Fleet) -> Result<Vec<Value>> {
    let filter = HostFilter::default;
    let mut found = pages(fleet, |page| Query::Hosts { filter: filter(), page })?;
    let rollouts = pages(fleet, |page| Query::Rollouts { state: None, channel: None, page })?;
    for rollout in &rollouts {
        let id = rollout["rollout_id"].as_str().unwrap_or_default();
        let rollout_id: wavegate_proto::ids::RolloutId = id.parse().map_err(anyhow::Error::msg)?;
        found.extend(pages(fleet, |page| Query::RolloutHosts {
            rollout_id: rollout_id.clone(),
            page,
        })?);
    }
    found.extend(rollouts);
    found.extend(pages(fleet, Query::Quarantines)?);
    found.iter_mut().for_each(strip);
    Ok(found)
}

fn pages(fleet: &mut Fleet, query: impl Fn(PageRequest) -> Query) -> Result<Vec<Value>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let mut page = fleet.read(query(PageRequest { after, limit: 1000 }))?;
        if let Value::Array(items) = page["items"].take() {
            found.extend(items);
        }
        after = page["next_cursor"].as_str().map(str::to_owned);
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !ONLY_THE_OLD_DATABASE_KNEW.contains(&key.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
