//! P4: what planning costs: with nothing to do, and when everything is to be looked at for the first time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use wavegate_control_plane::core::Input;
use wavegate_proto::ids::HostName;

use super::super::figures::Figures;
use super::fleet::{Fleet, Shape};
use super::{millis, quantile};

/// Rollouts that are open at once.
const ROLLOUTS: usize = 8;

/// Hosts of each first wave, which soak throughout.
const FIRST_WAVE: usize = 64;

/// How often nothing is planned.
const TICKS: usize = 1000;

pub(in super::super) fn measure(hosts: usize, out: &mut Figures) -> Result<()> {
    let of_each = (hosts / ROLLOUTS).max(FIRST_WAVE + 1);
    let sizes = [FIRST_WAVE, of_each - FIRST_WAVE];
    let shape = Shape { channels: ROLLOUTS, sizes: &sizes, soak_secs: 7 * 86_400 };
    let mut fleet = Fleet::new(&shape.channels("r1", "first"))?;
    let cold = cold(&mut fleet)?;
    let dispatched = fleet.activate()?.len();
    ensure!(dispatched == ROLLOUTS * FIRST_WAVE, "{dispatched} hosts were dispatched");
    let mut ticks = Vec::with_capacity(TICKS);
    for number in 0..TICKS {
        fleet.pass(Duration::from_millis(10));
        let now = fleet.now();
        let begun = Instant::now();
        let mut outputs = fleet.core.handle(now, Input::Tick);
        outputs.extend(fleet.core.plan(now));
        ticks.push(begun.elapsed());
        // What silence and retention write now and then is not nothing.
        ensure!(number == 0 || outputs.is_empty(), "there was something to do: {outputs:?}");
    }
    let (median, p99) = (quantile(&mut ticks, 0.5), quantile(&mut ticks, 0.99));
    out.tell(&format!(
        "P4 idle_us={:.1} idle_p99_us={:.1} cold_ms={:.1} hosts={} rollouts={ROLLOUTS} target=200us,100ms",
        millis(median) * 1e3,
        millis(p99) * 1e3,
        millis(cold),
        ROLLOUTS * of_each,
    ))?;
    Ok(())
}

/// The first plan after everybody has been heard: every host of every rollout is looked at, and the first
/// waves are dispatched.
pub(super) fn cold(fleet: &mut Fleet) -> Result<Duration> {
    fleet.everybody_polls()?;
    let names: Vec<HostName> = fleet.hosts.keys().cloned().collect();
    for name in &names {
        fleet.heartbeat(name);
    }
    let took = fleet.plan();
    fleet.commit()?;
    Ok(took)
}
