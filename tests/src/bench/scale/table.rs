//! What each thing costs at a thousand, ten thousand, a hundred thousand and a million hosts.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use wavegate_control_plane::core::Input;
use wavegate_proto::ids::HostName;

use super::super::figures::Figures;
use super::fleet::{Fleet, Shape};
use super::plot::{self, Line, Panel};
use super::{millis, planning, quantile, starting};

/// Hosts of the first wave, which soak throughout.
const FIRST_WAVE: usize = 64;

/// How many heartbeats and events are timed.
const REQUESTS: usize = 2_000;

/// What was measured with one number of hosts.
struct Row {
    hosts: usize,
    adopt: Duration,
    plan: Duration,
    round: Duration,
    start: Duration,
    heartbeat: Duration,
    event: Duration,
    tick: Duration,
    resident_bytes: u64,
}

pub(in super::super) fn measure(
    sizes: &[usize],
    picture: Option<&Path>,
    out: &mut Figures,
) -> Result<()> {
    let mut rows = Vec::new();
    for hosts in sizes {
        let row = row(*hosts)?;
        out.tell(&row.to_string())?;
        rows.push(row);
    }
    picture.map_or(Ok(()), |path| plot::write(path, &panels(&rows)))
}

fn row(hosts: usize) -> Result<Row> {
    let before = resident_bytes();
    let sizes = [FIRST_WAVE, hosts - FIRST_WAVE];
    let shape = Shape { channels: 1, sizes: &sizes, soak_secs: 7 * 86_400 };
    let begun = Instant::now();
    let mut fleet = Fleet::new(&shape.channels("r1", "first"))?;
    let adopt = begun.elapsed();
    let plan = planning::cold(&mut fleet)?;
    let begun = Instant::now();
    fleet.everybody_reports()?;
    let round = begun.elapsed();
    let soaking = fleet.activate()?;
    let resident_bytes = resident_bytes().saturating_sub(before);
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
    fleet.commit()?;
    let [heartbeat, event, tick] =
        [heartbeats, events, ticks].map(|mut times| quantile(&mut times, 0.5));
    let start = starting::start(&fleet)?;
    Ok(Row { hosts, adopt, plan, round, start, heartbeat, event, tick, resident_bytes })
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |time| millis(time) * 1e3;
        write!(
            f,
            "hosts={} adopt_ms={:.0} plan_ms={:.1} round_ms={:.0} start_ms={:.0} heartbeat_us={:.1} event_us={:.1} \
             tick_us={:.1} resident_mb={}",
            self.hosts,
            millis(self.adopt),
            millis(self.plan),
            millis(self.round),
            millis(self.start),
            micros(self.heartbeat),
            micros(self.event),
            micros(self.tick),
            self.resident_bytes / 1_000_000,
        )
    }
}

/// One panel a unit.
fn panels(rows: &[Row]) -> [Panel; 3] {
    let line = |name, value: fn(&Row) -> f64| Line {
        name,
        points: rows.iter().map(|row| (plot::number(row.hosts), value(row))).collect(),
    };
    [
        Panel {
            title: "One of them, in microseconds",
            lines: vec![
                line("an event, with the plan that follows", |row| millis(row.event) * 1e3),
                line("a heartbeat, with the plan that follows", |row| millis(row.heartbeat) * 1e3),
                line("a tick with nothing to do", |row| millis(row.tick) * 1e3),
            ],
        },
        Panel {
            title: "The whole fleet, in seconds",
            lines: vec![
                line("a heartbeat of everybody", |row| row.round.as_secs_f64()),
                line("a release signed, verified and adopted", |row| row.adopt.as_secs_f64()),
                line("a start, its release aside", |row| row.start.as_secs_f64()),
                line("the first plan", |row| row.plan.as_secs_f64()),
            ],
        },
        Panel {
            title: "Memory, in MB, the pretended hosts included",
            lines: vec![line("resident", |row| plot::number(row.resident_bytes / 1_000) / 1e3)],
        },
    ]
}

/// What this process holds in memory, hosts of the benchmark included.
fn resident_bytes() -> u64 {
    super::super::memory::resident_bytes("self").unwrap_or_default()
}
