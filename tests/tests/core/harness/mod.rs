//! The core between a disk and hosts that do as the test says. Time is advanced, never slept.
//!
//! Not here: what is expected (see the tests beside).

mod host;
mod operators;
mod reading;
mod verbs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use wavegate_control_plane::core::{
    Answer, Core, CoreConfig, EchoKey, Input, LogEnd, Output, Token, Write,
};
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{CpEpoch, HostName, RolloutId};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::problem::Problem;
use wavegate_proto::wire::publish::PublishAnswer;
use wavegate_tests::release_kit::{ChannelSpec, Kit};
pub(crate) use wavegate_tests::sim::Disk;

pub(crate) use host::{Host, Journal};
pub(crate) use operators::{clear, resume, retry, skip};
pub(crate) use reading::equal_but_for;

pub(crate) const HEARTBEAT_SECS: u64 = 30;
const STEP_SECS: u64 = 10;
pub(crate) const RETAIN_SECS: u64 = 90 * 86_400;
/// 2026-11-21T09:00:00Z.
const START_MILLIS: i64 = 1_795_251_600_000;

/// The control plane under test, and everything around it.
pub(crate) struct Cp {
    pub(crate) core: Core,
    pub(crate) disk: Disk,
    pub(crate) kit: Kit,
    pub(crate) hosts: BTreeMap<HostName, Host>,
    /// Milliseconds since the beginning of the test.
    clock: u64,
    /// How far the wall clock has been set forward, in seconds.
    wall_jump_secs: u64,
    /// When the process was started.
    started: u64,
    pub(crate) serial: u64,
    pub(crate) released: Option<Arc<Verified<Release>>>,
    next: u64,
    /// Answers that nobody has asked for yet, by token.
    pub(crate) answers: BTreeMap<Token, Answer>,
}

pub(crate) fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

pub(crate) fn hours(n: u64) -> Duration {
    minutes(n * 60)
}

pub(crate) fn name(host: &str) -> HostName {
    host.parse().unwrap()
}

pub(crate) fn id(rollout: &str) -> RolloutId {
    rollout.parse().unwrap()
}

fn start(disk: &mut Disk, now: Now, epoch: u64) -> Core {
    let config = CoreConfig {
        fleet: "demo".parse().unwrap(),
        heartbeat_secs: HEARTBEAT_SECS,
        version: "test".to_owned(),
        retain_secs: RETAIN_SECS,
        next_epoch: CpEpoch(Uuid::from_u128(u128::from(epoch) << 64)),
        echo_key: EchoKey([7; 32]),
    };
    let epoch = CpEpoch(Uuid::from_u128(u128::from(epoch)));
    let (core, outputs) = Core::restore(config, disk.stored(epoch), now).unwrap();
    disk.commit(split(outputs).0);
    core
}

/// What is to be committed, and what is to be answered.
pub(crate) fn split(outputs: Vec<Output>) -> (Vec<Write>, Vec<(Token, Answer)>) {
    let (mut writes, mut replies) = (Vec::new(), Vec::new());
    for output in outputs {
        match output {
            Output::Write(write) => writes.push(*write),
            Output::Reply { to, answer } => replies.push((to, answer)),
            Output::CompareLog { .. } => {}
        }
    }
    (writes, replies)
}

/// Which rows are to be compared with what a host was shown.
fn comparisons(outputs: &[Output]) -> Vec<(HostName, LogEnd)> {
    let compared = outputs.iter().filter_map(|output| match output {
        Output::CompareLog { host, end } => Some((host.clone(), *end)),
        Output::Write(_) | Output::Reply { .. } => None,
    });
    compared.collect()
}

/// Every scenario ends with a rebuild.
impl Drop for Cp {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.disk.check_rebuild();
        }
    }
}

impl Cp {
    /// A control plane with an empty database and no release.
    pub(crate) fn empty() -> Self {
        let mut disk = Disk::default();
        let now =
            Now { wall: Timestamp::from_unix_millis(START_MILLIS), mono: Mono::from_millis(0) };
        Self {
            core: start(&mut disk, now, 1),
            disk,
            kit: Kit::default(),
            hosts: BTreeMap::new(),
            clock: 0,
            wall_jump_secs: 0,
            started: 0,
            serial: 0,
            released: None,
            next: 1,
            answers: BTreeMap::new(),
        }
    }

    /// A control plane with a release, whose hosts have all sent a heartbeat.
    pub(crate) fn with(channels: &[ChannelSpec]) -> Self {
        let mut cp = Self::silent_with(channels);
        cp.everybody_reports();
        cp
    }

    /// A control plane with a release, whose hosts have not been heard from.
    pub(crate) fn silent_with(channels: &[ChannelSpec]) -> Self {
        let mut cp = Self::empty();
        cp.publish(channels);
        cp
    }

    pub(crate) fn now(&self) -> Now {
        let wall = Timestamp::from_unix_millis(START_MILLIS).plus_secs(self.wall_jump_secs);
        Now {
            wall: wall.plus(Duration::from_millis(self.clock)),
            mono: Mono::from_millis(self.clock - self.started),
        }
    }

    pub(crate) fn fresh_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// One batch of one input; the answer, unless it is still to come.
    pub(crate) fn send(&mut self, input: impl FnOnce(Token) -> Input) -> Option<Answer> {
        let token = Token(self.fresh_number());
        let now = self.now();
        let mut outputs = self.core.handle(now, Input::Committed(self.disk.log_end()));
        outputs.extend(self.core.handle(now, input(token)));
        for (host, end) in comparisons(&outputs) {
            if !self.disk.has(end) {
                outputs.extend(self.core.handle(now, Input::LogWentBack { host }));
            }
        }
        outputs.extend(self.core.plan(now));
        let (writes, replies) = split(outputs);
        self.disk.commit(writes);
        self.answers.extend(replies);
        self.check_dispatches();
        self.answers.remove(&token)
    }

    /// Nothing is dispatched in a rollout that does not go on.
    fn check_dispatches(&self) {
        for (rollout, host) in self.disk.dispatches.keys() {
            let rollout = &self.core.fleet().rollouts[rollout];
            assert!(rollout.is_open() && rollout.halt.is_none(), "{host} in {}", rollout.id);
        }
    }

    pub(crate) fn publish(&mut self, channels: &[ChannelSpec]) -> PublishAnswer {
        self.try_publish(self.serial + 1, channels).unwrap()
    }

    pub(crate) fn try_publish(
        &mut self,
        serial: u64,
        channels: &[ChannelSpec],
    ) -> Result<PublishAnswer, Problem> {
        let signed_at = self.now().wall.truncated_to_secs();
        let release = self.kit.release(serial, signed_at, channels);
        let answer = self.adopt(&release)?;
        self.serial = serial;
        for name in release.fleet.hosts.keys() {
            if !self.hosts.contains_key(name) {
                let number = self.fresh_number();
                self.hosts.insert(name.clone(), Host::new(u128::from(number)));
            }
        }
        self.released = Some(release);
        Ok(answer)
    }

    pub(crate) fn adopt(
        &mut self,
        release: &Arc<Verified<Release>>,
    ) -> Result<PublishAnswer, Problem> {
        self.disk.keep(release);
        let release = Arc::clone(release);
        match self.send(|reply| Input::AdoptRelease { release, reply }).unwrap() {
            Answer::Adopted(answer) => Ok(answer),
            Answer::Problem(problem) => Err(*problem),
            other => panic!("{other:?}"),
        }
    }

    /// The process is killed and starts again; the release folder is still there.
    pub(crate) fn restart(&mut self) {
        self.restart_without_release();
        if let Some(release) = self.released.clone() {
            self.adopt(&release).unwrap();
        }
    }

    pub(crate) fn restart_without_release(&mut self) {
        self.started = self.clock;
        let epoch = self.fresh_number();
        let now = self.now();
        self.core = start(&mut self.disk, now, epoch);
        self.answers.clear();
    }

    /// The process is killed, an older copy of its database put back, and it starts again.
    pub(crate) fn set_back(&mut self, older: Disk) {
        self.disk.check_rebuild();
        self.disk = older;
        self.restart();
    }

    /// The process is killed, its database deleted, and it starts again.
    pub(crate) fn wipe(&mut self) {
        self.disk.check_rebuild();
        self.disk = Disk::default();
        self.restart();
    }

    /// Hosts that are not silent go on sending heartbeats, and the safety tick goes on.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.clock + u64::try_from(time.as_millis()).unwrap();
        while self.clock < end {
            let before = self.clock;
            self.clock = end.min(self.clock + STEP_SECS * 1000);
            let beat = HEARTBEAT_SECS * 1000;
            if before / beat < self.clock / beat {
                self.everybody_reports();
            }
            self.tick();
        }
    }

    /// Time passes, and nothing at all is handled.
    pub(crate) fn skip_time(&mut self, time: Duration) {
        self.clock += u64::try_from(time.as_millis()).unwrap();
    }

    pub(crate) fn tick(&mut self) {
        self.send(|_| Input::Tick);
    }

    /// What the compaction worker does.
    pub(crate) fn compact(&mut self) {
        let runs = self.disk.removable();
        let answer = self.send(|reply| Input::Compact { runs, reply });
        assert!(matches!(answer, Some(Answer::Compacted)), "{answer:?}");
    }

    /// The process has been so busy of late.
    pub(crate) fn load(&mut self, busy_percent: u32) {
        assert!(self.send(|_| Input::Load { busy_percent }).is_none());
    }

    pub(crate) fn set_wall_clock_forward(&mut self, by: Duration) {
        self.wall_jump_secs += by.as_secs();
    }

    pub(crate) fn everybody_reports(&mut self) {
        let talking = self.hosts.iter().filter(|(_, host)| !host.silent);
        let names: Vec<HostName> = talking.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.report(name.as_str());
        }
    }
}
