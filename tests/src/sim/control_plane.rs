//! The control plane's node: the real core, in front of a disk that commits batches whole.

use std::collections::BTreeMap;

use wavegate_control_plane::core::{Answer, Core, CoreConfig, Input, Output, Token, Write};
use wavegate_proto::ids::{CpEpoch, HostName};
use wavegate_proto::time::{Mono, Now};

use super::disk::Disk;

/// How often agents send heartbeats in the simulator, in seconds.
pub(super) const HEARTBEAT_SECS: u64 = 30;

/// A control plane that is running.
pub(super) struct ControlPlane {
    pub core: Core,
    pub started: Mono,
    /// Whom each request came from, and which of theirs it was.
    pub requests: BTreeMap<Token, (HostName, u64)>,
    next_token: u64,
}

impl ControlPlane {
    pub(super) fn start(disk: &mut Disk, now: Now, fresh: CpEpoch) -> Self {
        let config = CoreConfig {
            fleet: "demo".parse().unwrap(),
            heartbeat_secs: HEARTBEAT_SECS,
            version: "sim".to_owned(),
        };
        let started = now.mono;
        let here = Now { wall: now.wall, mono: Mono::from_millis(0) };
        let (core, outputs) = Core::restore(config, disk.stored(fresh), here).unwrap();
        disk.commit(writes(outputs).0);
        Self { core, started, requests: BTreeMap::new(), next_token: 0 }
    }

    pub(super) fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// This process's clocks.
    pub(super) fn now(&self, now: Now) -> Now {
        let mono = Mono::from_millis(now.mono.millis_since(self.started));
        Now { wall: now.wall, mono }
    }

    /// One batch of one input: what is to be committed, and what is then to be answered.
    pub(super) fn step(&mut self, now: Now, input: Input) -> (Vec<Write>, Vec<(Token, Answer)>) {
        let now = self.now(now);
        let mut outputs = self.core.handle(now, input);
        outputs.extend(self.core.plan(now));
        writes(outputs)
    }
}

fn writes(outputs: Vec<Output>) -> (Vec<Write>, Vec<(Token, Answer)>) {
    let (mut writes, mut replies) = (Vec::new(), Vec::new());
    for output in outputs {
        match output {
            Output::Write(write) => writes.push(*write),
            Output::Reply { to, answer } => replies.push((to, answer)),
        }
    }
    (writes, replies)
}
