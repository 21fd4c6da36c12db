//! The scheduler in paused time: jitter, interval, no overlap, bounded concurrency.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wavegate_agent::probes::{CheckResult, CheckRunner, Checking, Scheduler};
use wavegate_proto::artifact::bundle::{Check, Probe};
use wavegate_proto::ids::{BlobId, ClosureId};

/// Takes `takes` for each check and counts how many run at once.
#[derive(Debug, Default)]
struct Slow {
    takes: Duration,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl CheckRunner for Slow {
    fn run<'a>(&'a self, _check: &'a Check, _timeout: Duration) -> Checking<'a> {
        Box::pin(async {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(self.takes).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            CheckResult::pass()
        })
    }
}

fn probe(name: &str, mode: &str, interval_secs: u64) -> Probe {
    serde_json::from_value(json!({
        "name": name, "kind": "tcp", "address": "a:1", "mode": mode,
        "interval_secs": interval_secs, "timeout_secs": 1,
    }))
    .unwrap()
}

fn closure() -> ClosureId {
    ClosureId::Bundle(BlobId::of(b"c"))
}

#[tokio::test(start_paused = true)]
async fn the_first_run_is_jittered_and_the_others_keep_the_interval() {
    let checks: Arc<dyn CheckRunner> = Arc::new(Slow::default());
    let (sender, mut reports) = mpsc::channel(100);
    let probes = [probe("a", "enforce", 4), probe("b", "observe", 4), probe("c", "disabled", 4)];
    let mut fractions = [0.25, 0.75].into_iter();
    let began = Instant::now();
    let started =
        Scheduler::start(&closure(), &probes, &checks, &sender, || fractions.next().unwrap());
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..4 {
        let report = reports.recv().await.unwrap();
        seen.entry(report.name.to_string()).or_default().push(began.elapsed().as_secs());
    }
    assert_eq!(seen, BTreeMap::from([("a".into(), vec![1, 5]), ("b".into(), vec![3, 7])]));
    started.stop().await;
    drop(sender);
    assert_eq!(reports.recv().await, None, "nothing runs after a stop");
}

#[tokio::test(start_paused = true)]
async fn a_probe_never_overlaps_itself_and_eight_run_at_once() {
    let slow = Arc::new(Slow { takes: Duration::from_secs(25), ..Slow::default() });
    let checks: Arc<dyn CheckRunner> = Arc::clone(&slow) as Arc<dyn CheckRunner>;
    let (sender, mut reports) = mpsc::channel(100);
    let one = [probe("one", "enforce", 10)];
    let began = Instant::now();
    let started = Scheduler::start(&closure(), &one, &checks, &sender, || 0.0);
    reports.recv().await.unwrap();
    reports.recv().await.unwrap();
    assert_eq!(slow.most.load(Ordering::SeqCst), 1);
    assert_eq!(began.elapsed().as_secs(), 50, "late already, the second run follows at once");
    started.stop().await;
    slow.running.store(0, Ordering::SeqCst);
    let many: Vec<Probe> = (0..20).map(|n| probe(&format!("p{n}"), "enforce", 60)).collect();
    let started = Scheduler::start(&closure(), &many, &checks, &sender, || 0.0);
    for _ in 0..20 {
        reports.recv().await.unwrap();
    }
    assert_eq!(slow.most.load(Ordering::SeqCst), 8);
    drop(started);
}
