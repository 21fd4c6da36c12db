//! Runs the probes of a closure, each at its interval, until stopped.
//!
//! The first run comes after a random part of the interval (at most 5 s), so that a fleet does not
//! ask in step. A probe never overlaps itself; at most eight run at once.
//! Not here: what follows from a result.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use wavegate_proto::artifact::bundle::Probe;
use wavegate_proto::event::{ProbeOutcome, SubResult};
use wavegate_proto::ids::{ClosureId, ProbeName};
use wavegate_proto::record::ProbeMode;

use super::CheckRunner;

/// How many probes run at once.
const MAX_AT_ONCE: usize = 8;

/// The first run is no later than this.
const LONGEST_FIRST_WAIT: Duration = Duration::from_secs(5);

/// The result of one run of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// The closure that declares it.
    pub closure: ClosureId,
    /// The probe.
    pub name: ProbeName,
    /// Its mode.
    pub mode: ProbeMode,
    /// As expected or not.
    pub outcome: ProbeOutcome,
    /// Why not.
    pub reason: Option<String>,
    /// The results of single controls, for evidence.
    pub sub_results: Vec<SubResult>,
}

/// The probes of one closure at work. Dropped, it stops them, and whatever they were running.
#[derive(Debug)]
pub struct Scheduler {
    tasks: JoinSet<()>,
}

impl Scheduler {
    /// Starts the probes that are not disabled. `fraction` gives a number from 0 up to 1 for each: the
    /// part of the interval that its first run waits.
    #[must_use]
    pub fn start(
        closure: &ClosureId,
        probes: &[Probe],
        checks: &Arc<dyn CheckRunner>,
        reports: &mpsc::Sender<ProbeReport>,
        mut fraction: impl FnMut() -> f64,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let turn = Arc::new(Semaphore::new(MAX_AT_ONCE));
        for probe in probes.iter().filter(|probe| probe.mode != ProbeMode::Disabled) {
            let interval = Duration::from_secs(probe.interval_secs.max(1));
            let wait = interval.min(LONGEST_FIRST_WAIT).mul_f64(fraction().clamp(0.0, 1.0));
            let own = Repeated {
                closure: closure.clone(),
                probe: probe.clone(),
                checks: Arc::clone(checks),
                turn: Arc::clone(&turn),
                reports: reports.clone(),
            };
            tasks.spawn(own.run(Instant::now() + wait, interval));
        }
        Self { tasks }
    }

    /// Stops all probes and waits until they have stopped.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

struct Repeated {
    closure: ClosureId,
    probe: Probe,
    checks: Arc<dyn CheckRunner>,
    turn: Arc<Semaphore>,
    reports: mpsc::Sender<ProbeReport>,
}

impl Repeated {
    async fn run(self, first: Instant, interval: Duration) {
        let mut ticks = tokio::time::interval_at(first, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let timeout = Duration::from_secs(self.probe.timeout_secs);
        loop {
            ticks.tick().await;
            let Ok(_turn) = self.turn.acquire().await else { return };
            let result = self.checks.run(&self.probe.check, timeout).await;
            let report = ProbeReport {
                closure: self.closure.clone(),
                name: self.probe.name.clone(),
                mode: self.probe.mode,
                outcome: result.outcome,
                reason: result.reason,
                sub_results: result.sub_results,
            };
            if self.reports.send(report).await.is_err() {
                return;
            }
        }
    }
}
