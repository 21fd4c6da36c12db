//! The control plane's node: the real core, in front of a disk that commits batches whole.

use std::collections::BTreeMap;

use wavegate_control_plane::core::{
    Answer, Core, CoreConfig, EchoKey, Input, LogEnd, Output, Token, Write,
};
use wavegate_proto::ids::{CpEpoch, HostName};
use wavegate_proto::time::{Mono, Now};

use super::disk::Disk;

/// How often agents send heartbeats in the simulator, in seconds.
pub(super) const HEARTBEAT_SECS: u64 = 30;

/// A control plane that is running.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    pub core: Core,
    pub started: Mono,
    /// Whom each request came from, and which of theirs it was.
    pub requests: BTreeMap<Token, (HostName, u64)>,
    next_token: u64,
}

impl ControlPlane {
    /// A process that starts on `disk` and wants a heartbeat every `heartbeat_secs`.
    pub fn start(disk: &mut Disk, now: Now, fresh: CpEpoch, heartbeat_secs: u64) -> Self {
        let config = CoreConfig {
            fleet: "demo".parse().unwrap(),
            heartbeat_secs,
            version: "sim".to_owned(),
            retain_secs: 90 * 86_400,
            next_epoch: CpEpoch(uuid::Uuid::from_u128(fresh.0.as_u128() ^ u128::MAX)),
            echo_key: EchoKey([7; 32]),
        };
        let started = now.mono;
        let here = Now { wall: now.wall, mono: Mono::from_millis(0) };
        let (core, outputs) = Core::restore(config, disk.stored(fresh), here).unwrap();
        disk.commit(sorted(outputs).writes);
        Self { core, started, requests: BTreeMap::new(), next_token: 0 }
    }

    pub fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// This process's clocks.
    pub fn now(&self, now: Now) -> Now {
        let mono = Mono::from_millis(now.mono.millis_since(self.started));
        Now { wall: now.wall, mono }
    }

    /// One batch of one input: what is to be committed, and what is then to be answered.
    pub fn step(&mut self, now: Now, disk: &Disk, input: Input) -> Decided {
        let now = self.now(now);
        let mut outputs = self.core.handle(now, Input::Committed(disk.log_end()));
        outputs.extend(self.core.handle(now, input));
        let mut decided = sorted(outputs);
        for (host, end) in std::mem::take(&mut decided.compare) {
            if !disk.has(end) {
                decided.add(self.core.handle(now, Input::LogWentBack { host }));
            }
        }
        decided.add(self.core.plan(now));
        decided
    }
}

/// What the core wants of the outside.
#[derive(Default)]
pub struct Decided {
    pub writes: Vec<Write>,
    pub replies: Vec<(Token, Answer)>,
    compare: Vec<(HostName, LogEnd)>,
}

impl Decided {
    fn add(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Write(write) => self.writes.push(*write),
                Output::Reply { to, answer } => self.replies.push((to, answer)),
                Output::CompareLog { host, end } => self.compare.push((host, end)),
            }
        }
    }
}

fn sorted(outputs: Vec<Output>) -> Decided {
    let mut decided = Decided::default();
    decided.add(outputs);
    decided
}
