//! What each thing costs at a thousand, ten thousand, a hundred thousand and a million hosts.

use std::time::{Duration, Instant};

use anyhow::Result;
use wavegate_control_plane::core::Input;
use wavegate_proto::ids::HostName;

use super::fleet::{Fleet, Shape};
use super::{millis, quantile};

/// Hosts of the first wave, which soak throughout.
const FIRST_WAVE: usize = 64;

/// How many heartbeats and events are timed.
const REQUESTS: usize = 2_000;

pub(in super::super) fn measure(sizes: &[usize]) -> Result<()> {
    for hosts in sizes {
        row(*hosts)?;
    }
    Ok(())
}

fn row(hosts: usize) -> Result<()> {
    let before = resident_bytes();
    let sizes = [FIRST_WAVE, hosts - FIRST_WAVE];
    let shape = Shape { channels: 1, sizes: &sizes, soak_secs: 7 * 86_400 };
    let begun = Instant::now();
    let mut fleet = Fleet::new(&shape.channels("r1", "first"))?;
    let adopted = begun.elapsed();
    let begun = Instant::now();
    fleet.everybody_reports()?;
    let reported = begun.elapsed();
    fleet.everybody_polls()?;
    let soaking = fleet.activate()?;
    let resident = resident_bytes().saturating_sub(before);
    let names: Vec<HostName> = fleet.hosts.keys().cloned().collect();
    let (mut heartbeats, mut events, mut ticks) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..REQUESTS {
        let name = &names[number * names.len() / REQUESTS];
        fleet.spent = Duration::ZERO;
        fleet.heartbeat(name);
        fleet.plan();
        heartbeats.push(fleet.spent);
        let (name, rollout) = soaking[number % soaking.len()].clone();
        let at = fleet.now().wall;
        let request = fleet.hosts.get_mut(&name).unwrap().probe(&rollout, at);
        fleet.spent = Duration::ZERO;
        fleet.post(&name, request)?;
        fleet.plan();
        events.push(fleet.spent);
        let now = fleet.now();
        let begun = Instant::now();
        fleet.core.handle(now, Input::Tick);
        fleet.core.plan(now);
        ticks.push(begun.elapsed());
    }
    let micros = |times: &mut [Duration]| millis(quantile(times, 0.5)) * 1e3;
    println!(
        "hosts={hosts} adopt_ms={:.0} first_round_ms={:.0} heartbeat_us={:.1} event_us={:.1} tick_us={:.1} resident_mb={}",
        millis(adopted),
        millis(reported),
        micros(&mut heartbeats),
        micros(&mut events),
        micros(&mut ticks),
        resident / 1_000_000,
    );
    Ok(())
}

/// What this process holds in memory, hosts of the benchmark included.
fn resident_bytes() -> u64 {
    super::super::memory::resident_bytes("self").unwrap_or_default()
}
