//! `kill -9` at random moments under running rollouts: of the control plane, and of agents.
//!
//! `WAVEGATE_KILL_COUNT` says how often, `WAVEGATE_KILL_SEED` when; `cargo xtask kill` is the long one.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;
use wavegate_control_plane::store::check::check;
use wavegate_proto::wire::operator::{Outcome, RolloutDocument, RolloutState, Status};
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::ControlPlane;
use wavegate_tests::processes::folder::{Content, DATA, Files, Folder, Plan, Wave, files_of};
use wavegate_tests::processes::ledger::Ledger;
use wavegate_tests::processes::log::{expect_one_start_an_attempt, expect_whole};
use wavegate_tests::processes::reader::Reader;
use wavegate_tests::processes::wait::until;
use wavegate_tests::processes::watcher::Watcher;

/// A rollout that is killed all the time takes its time: a host whose lease lapsed waits 30 s, then
/// 60 s, for its next attempt.
const ROLLOUT: Duration = Duration::from_secs(300);

/// The exit code of the operator's tool when nobody answers.
const UNREACHABLE: i32 = 3;

fn kills(default: u64) -> u64 {
    std::env::var("WAVEGATE_KILL_COUNT").map_or(default, |count| count.parse().unwrap())
}

fn rng() -> Rng {
    let seed = std::env::var("WAVEGATE_KILL_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("WAVEGATE_KILL_SEED={seed}");
    Rng::with_seed(seed)
}

fn plan() -> Plan {
    let wave = |name, hosts| Wave { name, hosts, soak_secs: 1 };
    let waves = [("canary", vec![1]), ("early", vec![2, 3, 4]), ("rest", Vec::new())];
    Plan { waves: waves.map(|(name, hosts)| wave(name, hosts)).into(), ..Plan::default() }
}

/// Publishes one release after the other, good and bad ones, so that there is always a rollout.
struct Publisher<'a> {
    folder: &'a Folder,
    url: String,
    reader: Reader,
    rng: Rng,
    ledger: Ledger,
    number: u64,
    last_good: u64,
    bad: u64,
}

impl<'a> Publisher<'a> {
    fn new(folder: &'a Folder, control_plane: &ControlPlane<'_>, rng: Rng) -> Self {
        let (url, reader) = (control_plane.url.clone(), control_plane.reader());
        let ledger = Ledger::default();
        Self { folder, url, reader, rng, ledger, number: 0, last_good: 0, bad: 0 }
    }

    /// One release from its making to its end.
    fn next(&mut self) {
        self.number += 1;
        let is_good = self.number == 1 || self.rng.u8(..4) > 0;
        let content = if is_good { Content::Healthy } else { Content::Broken };
        self.folder.release(self.number, content);
        until("the release to be taken", ROLLOUT, || self.try_publish());
        let rollout = until("the rollout to end", ROLLOUT, || self.ended());
        match content {
            Content::Healthy => {
                self.last_good = self.number;
                expect_complete(&rollout);
            }
            Content::Broken => {
                self.bad += 1;
                self.expect_halted(&rollout);
            }
        }
        self.expect_files();
        // Before a later release lets the agents drop what is old.
        self.ledger.collect(self.folder);
    }

    fn try_publish(&self) -> Result<(), String> {
        let output = self.folder.publish(self.number, &self.url);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => Ok(()),
            Some(UNREACHABLE) => Err(said),
            code => panic!("publish ended with {code:?}: {said}"),
        }
    }

    fn ended(&self) -> Result<RolloutDocument, String> {
        let rollout = self.reader.rollout(&format!("stable@r{}", self.number))?;
        let is_over = matches!(rollout.state, RolloutState::Terminal | RolloutState::Reverted);
        if is_over { Ok(rollout) } else { Err(format!("{rollout:?}")) }
    }

    fn expect_halted(&self, rollout: &RolloutDocument) {
        assert_eq!(rollout.state, RolloutState::Reverted, "{rollout:?}");
        let halt = rollout.halt.as_ref().unwrap();
        assert_eq!(halt.host.as_ref().unwrap().as_str(), "host-01", "the canary: {halt:?}");
        let path = format!("/v1/rollouts/{}/hosts", rollout.rollout_id);
        let touched = |record: &&Value| record["state"] != "pending";
        let records = until("the records", ROLLOUT, || self.reader.all(&path));
        let touched: Vec<&Value> = records.iter().filter(touched).collect();
        assert!(touched.len() == 1 && touched[0]["host"] == "host-01", "{touched:?}");
    }

    /// Every host has the files of the last good release and nothing else.
    fn expect_files(&self) {
        let wanted = files_of(self.last_good, Content::Healthy);
        for host in &self.folder.hosts {
            expect_equal(&self.folder.files(host), &wanted, host.as_str());
        }
    }
}

fn expect_complete(rollout: &RolloutDocument) {
    assert_eq!(rollout.state, RolloutState::Terminal, "{rollout:?}");
    assert_eq!(rollout.outcome, Some(Outcome::Complete), "{rollout:?}");
}

fn expect_equal(found: &Files, wanted: &Files, whose: &str) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(wanted), "the files of {whose}");
    let other = wanted.iter().find(|(path, bytes)| found[*path] != **bytes);
    assert!(
        other.is_none(),
        "{whose}: {:?} is not that of the last good release",
        other.unwrap().0
    );
}

/// What must hold of the log and the journals in the end.
fn expect_nothing_lost(folder: &Folder, mut control_plane: ControlPlane<'_>, ledger: &Ledger) {
    let log = control_plane.reader().log().unwrap();
    let mut rollouts = control_plane.reader().get::<Status>("/v1/status").unwrap().rollouts;
    rollouts.pop();
    let open = rollouts.iter().find(|rollout| rollout.state != RolloutState::Superseded);
    assert!(open.is_none(), "E11: a newer release has taken its place: {open:?}");
    expect_whole(&log);
    expect_one_start_an_attempt(&log);
    ledger.expect_in(&log);
    ledger.expect_one_start_an_attempt();
    control_plane.check_log();
    control_plane.stop();
    let report = check(&folder.control_plane_state().join("wavegate.db")).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    assert!(report.rows >= log.len() as u64, "{} rows, {} were read", report.rows, log.len());
}

/// Kills the control plane `count` times, at any moment of its life.
fn kill_often(
    control_plane: &mut ControlPlane<'_>,
    rng: &mut Rng,
    count: u64,
    is_over: impl Fn() -> bool,
) {
    for _ in 0..count {
        if is_over() {
            return;
        }
        // Mostly long enough to get something done, sometimes hardly started.
        let life = if rng.u8(..4) == 0 { rng.u64(0..200) } else { rng.u64(200..4000) };
        std::thread::sleep(Duration::from_millis(life));
        control_plane.kill_9();
        if rng.bool() {
            std::thread::sleep(Duration::from_millis(rng.u64(0..500)));
        }
        control_plane.start_again();
    }
}

/// No acknowledged event is lost, nothing is dispatched twice, and every rollout ends as it should.
#[test]
fn kill_9_of_the_control_plane_loses_no_acknowledged_event() {
    let (begun, count, mut rng) = (Instant::now(), kills(12), rng());
    let folder = Folder::new(12);
    folder.plan(&plan());
    let mut control_plane = ControlPlane::start(&folder);
    let mut agents = Agents::start(&folder, &control_plane.url);
    let mut publisher = Publisher::new(&folder, &control_plane, rng.fork());
    let killed = AtomicBool::new(false);
    let publisher = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            while !killed.load(Ordering::Relaxed) {
                publisher.next();
            }
            publisher
        });
        kill_often(&mut control_plane, &mut rng, count, || publishing.is_finished());
        killed.store(true, Ordering::Relaxed);
        publishing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    agents.expect_running();
    let events = until("everything to be answered", ROLLOUT, || control_plane.reader().log()).len();
    println!(
        "kill -9 of the control plane: {count} kills and restarts, {} releases ({} bad), {events} log \
         rows, {} journal entries acknowledged, {} s",
        publisher.number,
        publisher.bad,
        publisher.ledger.acknowledged(),
        begun.elapsed().as_secs()
    );
    expect_nothing_lost(&folder, control_plane, &publisher.ledger);
}

/// What was found on the hosts that is neither whole and old nor whole and new.
#[derive(Default)]
struct Halves {
    looks: u64,
    found: Vec<String>,
}

/// A host's longest file is always one of a release, never half of one.
fn look_for_halves(folder: &Folder) -> Watcher<Halves> {
    let roots: Vec<_> = folder.hosts.iter().map(|host| folder.root(host)).collect();
    Watcher::start(Halves::default(), move |halves| {
        halves.looks += 1;
        for path in roots.iter().map(|root| root.join(DATA)) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let number = text.split(' ').next().and_then(|number| number.parse().ok());
            let whole = |number| files_of(number, Content::Healthy)[Path::new(DATA)].clone();
            if !text.is_empty() && number.map(whole).as_deref() != Some(text.as_bytes()) {
                halves.found.push(format!("{}: {} bytes", path.display(), text.len()));
            }
        }
    })
}

/// Kills an agent that is in the middle of something.
fn kill_a_busy_agent(
    agents: &mut Agents<'_>,
    folder: &Folder,
    reader: &Reader,
    rng: &mut Rng,
    is_over: impl Fn() -> bool,
) {
    let busy = until("an agent that is busy", ROLLOUT, || {
        assert!(!is_over(), "no more releases are published");
        let hosts = reader.all("/v1/hosts")?;
        let busy = |host: &&Value| host["state"] == "activating" || host["state"] == "soaking";
        let busy: Vec<String> = hosts.iter().filter(busy).map(|h| h["host"].to_string()).collect();
        rng.choice(busy).ok_or_else(|| "nobody is".to_owned())
    });
    let host = folder.hosts.iter().find(|host| format!("\"{host}\"") == busy).unwrap();
    std::thread::sleep(Duration::from_millis(rng.u64(0..1200)));
    agents.kill_9(host);
    agents.start_again(host);
}

/// Agents that are killed while they activate and soak converge all the same.
#[test]
fn kill_9_of_an_agent_while_it_activates_or_soaks_leaves_nothing_half_done() {
    let (begun, count, mut rng) = (Instant::now(), kills(24), rng());
    let folder = Folder::new(6);
    folder.plan(&plan());
    let control_plane = ControlPlane::start(&folder);
    let mut agents = Agents::start(&folder, &control_plane.url);
    let halves = look_for_halves(&folder);
    let mut publisher = Publisher::new(&folder, &control_plane, rng.fork());
    let reader = control_plane.reader();
    let killed = AtomicBool::new(false);
    let publisher = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            while !killed.load(Ordering::Relaxed) {
                publisher.next();
            }
            publisher
        });
        for _ in 0..count {
            kill_a_busy_agent(&mut agents, &folder, &reader, &mut rng, || publishing.is_finished());
        }
        killed.store(true, Ordering::Relaxed);
        publishing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    agents.expect_running();
    let halves = halves.end();
    assert!(halves.looks > 10 && halves.found.is_empty(), "{:?}", halves.found);
    println!(
        "kill -9 of agents: {count} kills and restarts, {} releases ({} bad), {} journal entries \
         acknowledged, {} s",
        publisher.number,
        publisher.bad,
        publisher.ledger.acknowledged(),
        begun.elapsed().as_secs()
    );
    expect_nothing_lost(&folder, control_plane, &publisher.ledger);
}
