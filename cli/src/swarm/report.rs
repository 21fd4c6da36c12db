//! What a swarm has seen: rates, latencies, refusals, and where its hosts ended.
//!
//! Not here: what is done (see [`super::host`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use wavegate_proto::ids::{RolloutId, WaveIndex};

/// Where a host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It has converged and runs what it was told to.
    Converged,
    /// It has failed and is back on what it ran before.
    Reverted,
    /// It has failed and stays so.
    Failed,
    /// Something is still under way.
    UnderWay,
    /// It was never dispatched.
    Untouched,
    /// It runs something else than its own record says.
    Wrong,
}

/// How long something took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// How often it was measured.
    pub count: u64,
    /// The median.
    pub p50_millis: f64,
    /// 99 of 100 were faster.
    pub p99_millis: f64,
    /// The slowest.
    pub max_millis: f64,
}

/// How the next wave took up from the one before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The wave that was dispatched.
    pub wave: WaveIndex,
    /// From the moment the last host of the wave before it said that it converged to each dispatch.
    #[serde(flatten)]
    pub latency: Latency,
}

/// How evenly heartbeats were sent in the minute and a half after the first minute of a storm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Arrivals {
    /// For how long it was measured, in seconds.
    pub secs: u64,
    /// Heartbeats a second.
    pub mean_per_sec: f64,
    /// Those of the busiest second.
    pub peak_per_sec: u64,
}

/// What it all came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Hosts of the swarm, those that never spoke among them.
    pub hosts: usize,
    /// Hosts that never spoke.
    pub offline: usize,
    /// For how long it ran, in seconds.
    pub secs: f64,
    /// Heartbeats that were answered, a second.
    pub heartbeats_per_sec: f64,
    /// Events that were acknowledged.
    pub events: u64,
    /// Dispatches that hosts were given.
    pub dispatches: u64,
    /// Agents that were killed and started again.
    pub restarts: u64,
    /// From sending a heartbeat to its answer.
    pub heartbeat: Option<Latency>,
    /// From sending events to their acknowledgement.
    pub post: Option<Latency>,
    /// From the moment the last host of a wave said that it converged to each dispatch of the next one.
    pub step: Option<Latency>,
    /// The same, wave by wave.
    pub steps: Vec<Step>,
    /// From the moment all connections were cut to each host's next answered heartbeat.
    pub storm: Option<Latency>,
    /// Once the storm's first minute was over.
    pub after_storm: Option<Arrivals>,
    /// Answers that were none, by problem code.
    pub errors: BTreeMap<String, u64>,
    /// Where the hosts ended.
    pub ends: BTreeMap<End, usize>,
}

/// What is counted while a swarm runs.
pub(super) struct Figures {
    hosts: usize,
    begun: Instant,
    counted: Mutex<Counted>,
}

struct Counted {
    offline: usize,
    events: u64,
    dispatches: u64,
    restarts: u64,
    heartbeat: Histogram<u64>,
    post: Histogram<u64>,
    /// By the wave that was dispatched.
    steps: BTreeMap<(RolloutId, WaveIndex), Histogram<u64>>,
    storm: Histogram<u64>,
    storm_begun: Option<Instant>,
    /// Heartbeats that were sent, by the second since the storm.
    since_storm: Vec<u64>,
    errors: BTreeMap<String, u64>,
    /// The last host of each wave that converged.
    converged: BTreeMap<(RolloutId, WaveIndex), Instant>,
    /// When the waves before were complete, for each wave that has begun.
    began: BTreeMap<(RolloutId, WaveIndex), Instant>,
    busy: usize,
    quiet_since: Option<Instant>,
}

/// After a storm everybody comes at once, as fast as it goes; what is looked at is how long that is felt.
const FIRST_MINUTE_SECS: usize = 60;

/// For how long it is looked at, in seconds.
const LOOK_SECS: usize = 90;

/// The longest latency that is told apart, in microseconds: ten minutes.
const LONGEST_MICROS: u64 = 600_000_000;

impl Figures {
    pub(super) fn new(hosts: usize) -> Self {
        let counted = Counted {
            offline: 0,
            events: 0,
            dispatches: 0,
            restarts: 0,
            heartbeat: histogram(),
            post: histogram(),
            steps: BTreeMap::new(),
            storm: histogram(),
            storm_begun: None,
            since_storm: Vec::new(),
            errors: BTreeMap::new(),
            converged: BTreeMap::new(),
            began: BTreeMap::new(),
            busy: 0,
            quiet_since: None,
        };
        Self { hosts, begun: Instant::now(), counted: Mutex::new(counted) }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stays_offline(&self) {
        self.counted().offline += 1;
    }

    pub(super) fn heartbeat_sent(&self) {
        let mut counted = self.counted();
        let Some(begun) = counted.storm_begun else { return };
        let second = usize::try_from(begun.elapsed().as_secs()).unwrap_or(usize::MAX);
        if second >= counted.since_storm.len() {
            counted.since_storm.resize(second + 1, 0);
        }
        counted.since_storm[second] += 1;
    }

    pub(super) fn heartbeat(&self, took: Duration) {
        self.counted().heartbeat.saturating_record(micros(took));
    }

    pub(super) fn posted(&self, took: Duration, events: usize) {
        let mut counted = self.counted();
        counted.post.saturating_record(micros(took));
        counted.events += events as u64;
    }

    pub(super) fn error(&self, code: &str) {
        *self.counted().errors.entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn restarted(&self) {
        self.counted().restarts += 1;
    }

    pub(super) fn converged(&self, rollout_id: &RolloutId, wave: WaveIndex) {
        self.counted().converged.insert((rollout_id.clone(), wave), Instant::now());
    }

    pub(super) fn dispatched(&self, rollout_id: &RolloutId, wave: WaveIndex) {
        let mut counted = self.counted();
        counted.dispatches += 1;
        let Some(before) = wave.0.checked_sub(1).map(WaveIndex) else { return };
        let Some(complete) = counted.converged.get(&(rollout_id.clone(), before)).copied() else {
            return;
        };
        let key = (rollout_id.clone(), wave);
        let complete = *counted.began.entry(key.clone()).or_insert(complete);
        let step = counted.steps.entry(key).or_insert_with(histogram);
        step.saturating_record(micros(complete.elapsed()));
    }

    /// A host has something under way now, or has not any more.
    pub(super) fn is_busy(&self, busy: bool) {
        let mut counted = self.counted();
        counted.busy = if busy { counted.busy + 1 } else { counted.busy.saturating_sub(1) };
        counted.quiet_since = (counted.busy == 0).then(Instant::now);
    }

    /// Whether something was under way, and nothing has been for so long.
    pub(super) fn is_settled(&self, quiet: Duration) -> bool {
        self.counted().quiet_since.is_some_and(|since| since.elapsed() >= quiet)
    }

    pub(super) fn storm_begins(&self) {
        self.counted().storm_begun = Some(Instant::now());
    }

    /// A host is heard for the first time since its connection was cut.
    pub(super) fn heard_after_the_storm(&self) {
        let mut counted = self.counted();
        if let Some(begun) = counted.storm_begun {
            counted.storm.saturating_record(micros(begun.elapsed()));
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(super) fn report(&self, ended: Vec<End>) -> Report {
        let counted = self.counted();
        let secs = self.begun.elapsed().as_secs_f64();
        let mut ends = BTreeMap::new();
        for end in ended {
            *ends.entry(end).or_default() += 1;
        }
        Report {
            hosts: self.hosts,
            offline: counted.offline,
            secs,
            heartbeats_per_sec: counted.heartbeat.len() as f64 / secs,
            events: counted.events,
            dispatches: counted.dispatches,
            restarts: counted.restarts,
            heartbeat: latency(&counted.heartbeat),
            post: latency(&counted.post),
            step: latency(&all(counted.steps.values())),
            steps: steps(&counted.steps),
            storm: latency(&counted.storm),
            after_storm: arrivals(&counted.since_storm),
            errors: counted.errors.clone(),
            ends,
        }
    }
}

impl Report {
    /// Whether every host that spoke ended where its own record says.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let told: usize = self.ends.values().sum();
        !self.ends.contains_key(&End::Wrong) && told + self.offline == self.hosts
    }
}

fn all<'a>(parts: impl Iterator<Item = &'a Histogram<u64>>) -> Histogram<u64> {
    let mut sum = histogram();
    for part in parts {
        // Of the same bounds, so it cannot fail.
        sum += part;
    }
    sum
}

fn steps(waves: &BTreeMap<(RolloutId, WaveIndex), Histogram<u64>>) -> Vec<Step> {
    let step = |((rollout_id, wave), measured): (&(RolloutId, WaveIndex), &Histogram<u64>)| {
        Some(Step { rollout_id: rollout_id.clone(), wave: *wave, latency: latency(measured)? })
    };
    waves.iter().filter_map(step).collect()
}

/// Of whole seconds after the first minute.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn arrivals(since_storm: &[u64]) -> Option<Arrivals> {
    let end = since_storm.len().checked_sub(1)?.min(FIRST_MINUTE_SECS + LOOK_SECS);
    let whole = since_storm.get(FIRST_MINUTE_SECS..end)?;
    let peak_per_sec = whole.iter().copied().max()?;
    let (sum, secs) = (whole.iter().sum::<u64>(), whole.len() as u64);
    Some(Arrivals { secs, mean_per_sec: sum as f64 / secs as f64, peak_per_sec })
}

fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST_MICROS, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are constants in order"));
    histogram.auto(false);
    histogram
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "at most ten minutes in microseconds")]
fn latency(histogram: &Histogram<u64>) -> Option<Latency> {
    let millis = |micros: u64| micros as f64 / 1000.0;
    (!histogram.is_empty()).then(|| Latency {
        count: histogram.len(),
        p50_millis: millis(histogram.value_at_quantile(0.5)),
        p99_millis: millis(histogram.value_at_quantile(0.99)),
        max_millis: millis(histogram.max()),
    })
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Converged => "converged",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::UnderWay => "under way",
            Self::Untouched => "untouched",
            Self::Wrong => "wrong",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} agents, {} of them silent, for {:.0} s: {:.0} heartbeats a second, {} events, {} dispatches, {} restarts",
            self.hosts,
            self.offline,
            self.secs,
            self.heartbeats_per_sec,
            self.events,
            self.dispatches,
            self.restarts
        )?;
        let lines = [
            ("heartbeat", self.heartbeat),
            ("post", self.post),
            ("step", self.step),
            ("storm", self.storm),
        ];
        for (name, latency) in lines {
            let Some(Latency { count, p50_millis, p99_millis, max_millis }) = latency else {
                continue;
            };
            writeln!(
                f,
                "{name:<10} n={count} p50={p50_millis:.1} ms p99={p99_millis:.1} ms max={max_millis:.1} ms"
            )?;
        }
        for Step { rollout_id, wave, latency } in &self.steps {
            writeln!(
                f,
                "  to wave {wave} of {rollout_id}: n={} p50={:.1} ms p99={:.1} ms max={:.1} ms",
                latency.count, latency.p50_millis, latency.p99_millis, latency.max_millis
            )?;
        }
        if let Some(Arrivals { secs, mean_per_sec, peak_per_sec }) = self.after_storm {
            writeln!(
                f,
                "arrivals   {mean_per_sec:.1} heartbeats a second for {secs} s, {peak_per_sec} in the busiest"
            )?;
        }
        let list = |items: Vec<String>| match items.is_empty() {
            true => "none".to_owned(),
            false => items.join(", "),
        };
        let errors = self.errors.iter().map(|(code, times)| format!("{code} {times}"));
        writeln!(f, "errors     {}", list(errors.collect()))?;
        let ends = self.ends.iter().map(|(end, hosts)| format!("{end} {hosts}"));
        writeln!(f, "ended      {}", list(ends.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_counted_from_the_last_host_of_the_wave_before_it() {
        let figures = Figures::new(3);
        let rollout: RolloutId = "stable@r1".parse().unwrap();
        figures.dispatched(&rollout, WaveIndex(0));
        assert_eq!(figures.report(vec![]).step, None);
        figures.converged(&rollout, WaveIndex(0));
        figures.dispatched(&rollout, WaveIndex(1));
        let complete = figures.counted().began[&(rollout.clone(), WaveIndex(1))];
        // Somebody of the first wave who comes late does not move what the second one is measured by.
        figures.converged(&rollout, WaveIndex(0));
        figures.dispatched(&rollout, WaveIndex(1));
        assert_eq!(figures.counted().began[&(rollout, WaveIndex(1))], complete);
        let report = figures.report(vec![End::Converged, End::Converged, End::Wrong]);
        assert_eq!((report.dispatches, report.step.map(|step| step.count)), (3, Some(2)));
        assert_eq!(
            report.steps.iter().map(|s| (s.wave.0, s.latency.count)).collect::<Vec<_>>(),
            [(1, 2)]
        );
        assert!(!report.is_sound());
    }

    #[test]
    fn arrivals_are_those_of_whole_seconds_after_the_first_minute() {
        assert_eq!(arrivals(&[]), None);
        assert_eq!(arrivals(&[900; 61]), None);
        let mut seconds = vec![900; 60];
        seconds.extend([10, 40, 10, 3]);
        let expected = Arrivals { secs: 3, mean_per_sec: 20.0, peak_per_sec: 40 };
        assert_eq!(arrivals(&seconds), Some(expected));
        seconds.resize(FIRST_MINUTE_SECS + LOOK_SECS, 20);
        seconds.extend([900, 900]);
        assert_eq!(
            arrivals(&seconds).unwrap().peak_per_sec,
            40,
            "what comes later is not looked at"
        );
    }

    #[test]
    fn it_is_settled_once_what_was_under_way_has_ended() {
        let figures = Figures::new(1);
        assert!(!figures.is_settled(Duration::ZERO), "nothing has begun");
        figures.is_busy(true);
        assert!(!figures.is_settled(Duration::ZERO));
        figures.is_busy(false);
        assert!(figures.is_settled(Duration::ZERO));
        assert!(!figures.is_settled(Duration::from_secs(60)));
    }
}
