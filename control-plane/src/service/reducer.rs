//! The task that owns the core: drains the queue in batches, decides, hands each batch to the commit
//! thread. It may decide on the next batch while the one before is being committed; answers keep
//! their order, since all of them go through the commit thread.
//!
//! Not here: committing (see `committer`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::committer::Batch;
use super::{Message, Replier, metrics};
use crate::clock::Clock;
use crate::core::{Core, Input, Output, Token};

/// How many inputs one batch may take.
const MAX_BATCH: usize = 1024;

/// A tick at least this often, whatever the core asks for.
const SAFETY_TICK: Duration = Duration::from_secs(15);

/// No two ticks closer than this, whatever the core asks for.
const MIN_TICK: Duration = Duration::from_millis(20);

pub(super) struct Reducer {
    core: Core,
    clock: Clock,
    inputs: mpsc::Receiver<Message>,
    batches: mpsc::Sender<Batch>,
    waiting: HashMap<Token, Replier>,
    last_tick: Instant,
}

impl Reducer {
    pub(super) fn new(
        core: Core,
        clock: Clock,
        inputs: mpsc::Receiver<Message>,
        batches: mpsc::Sender<Batch>,
    ) -> Self {
        Self { core, clock, inputs, batches, waiting: HashMap::new(), last_tick: Instant::now() }
    }

    pub(super) async fn run(mut self, first: Vec<Output>) {
        let mut batch = Batch::default();
        self.collect(&mut batch, first);
        if self.batches.send(batch).await.is_err() {
            return;
        }
        let mut messages = Vec::with_capacity(MAX_BATCH);
        loop {
            let tick_at = self.next_tick();
            tokio::select! {
                received = self.inputs.recv_many(&mut messages, MAX_BATCH) => {
                    if received == 0 {
                        return;
                    }
                }
                () = tokio::time::sleep_until(tick_at.into()) => {}
            }
            let stop = messages.iter().any(|message| matches!(message, Message::Stop));
            let batch = self.decide(&mut messages);
            // The commit thread is gone: a commit failed, and nothing may be decided any more.
            if self.batches.send(batch).await.is_err() || stop {
                return;
            }
        }
    }

    fn next_tick(&self) -> Instant {
        let wanted = self.core.next_wakeup().map(|at| self.clock.instant_at(at));
        let latest = self.last_tick + SAFETY_TICK;
        wanted.map_or(latest, |at| at.min(latest)).max(self.last_tick + MIN_TICK)
    }

    fn decide(&mut self, messages: &mut Vec<Message>) -> Batch {
        let mut batch = Batch::default();
        for message in messages.drain(..) {
            let input = match message {
                Message::Request(token, input, replier) => {
                    self.waiting.insert(token, replier);
                    input
                }
                Message::Notice(input) => input,
                Message::Stop => continue,
            };
            if let Input::PollEnded { reply, .. } = &input {
                self.waiting.remove(reply);
            }
            let outputs = self.core.handle(self.clock.now(), input);
            self.collect(&mut batch, outputs);
        }
        if Instant::now() >= self.next_tick() {
            self.last_tick = Instant::now();
            let outputs = self.core.handle(self.clock.now(), Input::Tick);
            self.collect(&mut batch, outputs);
        }
        let outputs = self.core.plan(self.clock.now());
        self.collect(&mut batch, outputs);
        batch
    }

    fn collect(&mut self, batch: &mut Batch, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Write(write) => {
                    metrics::count_event(&write);
                    batch.writes.push(*write);
                }
                Output::Reply { to, answer } => {
                    if let Some(replier) = self.waiting.remove(&to) {
                        batch.answers.push((replier, answer));
                    }
                }
            }
        }
    }
}
