//! The task that owns the core: drains the queue in batches, decides, hands each batch to the commit
//! thread. It may decide on the next batch while the one before is being committed; answers keep
//! their order, since all of them go through the commit thread; those of a batch that writes nothing are
//! given at once when nothing is being committed, since then all that they tell is on disk.
//!
//! Not here: committing (see `committer`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use wavegate_proto::ids::HostName;

use super::committer::{Batch, Outstanding};
use super::{Message, Replier, metrics};
use crate::clock::Clock;
use crate::core::{Core, Input, LogEnd, Output, Token};
use crate::store::EventReader;

/// How many inputs one batch may take.
const MAX_BATCH: usize = 1024;

/// A tick at least this often, whatever the core asks for.
const SAFETY_TICK: Duration = Duration::from_secs(15);

/// How often it is said how busy the reducer is.
const LOAD_EVERY: Duration = Duration::from_secs(10);

/// No two ticks closer than this, whatever the core asks for.
const MIN_TICK: Duration = Duration::from_millis(20);

pub(super) struct Reducer {
    core: Core,
    clock: Clock,
    inputs: mpsc::Receiver<Message>,
    batches: mpsc::Sender<Batch>,
    waiting: HashMap<Token, Replier>,
    last_tick: Instant,
    load: Load,
    log: Log,
}

/// For how long the reducer has been deciding, or waiting for the disk, of late.
#[derive(Debug)]
struct Load {
    since: Instant,
    busy: Duration,
}

impl Load {
    /// In percent of the time since the last answer, once that is long enough ago.
    fn percent(&mut self) -> Option<u32> {
        let elapsed = self.since.elapsed();
        if elapsed < LOAD_EVERY {
            return None;
        }
        let percent = self.busy.as_millis() * 100 / elapsed.as_millis().max(1);
        *self = Self { since: Instant::now(), busy: Duration::ZERO };
        Some(u32::try_from(percent).unwrap_or(100).min(100))
    }
}

/// What becomes of what is decided.
pub(super) struct Log {
    /// Batches that are not committed and answered yet.
    pub(super) outstanding: Outstanding,
    /// How far it goes.
    pub(super) committed: watch::Receiver<LogEnd>,
    pub(super) reader: EventReader,
    /// Where what was found is told.
    pub(super) queue: mpsc::WeakSender<Message>,
}

impl Reducer {
    pub(super) fn new(
        core: Core,
        clock: Clock,
        inputs: mpsc::Receiver<Message>,
        batches: mpsc::Sender<Batch>,
        log: Log,
    ) -> Self {
        let (waiting, last_tick) = (HashMap::new(), Instant::now());
        let load = Load { since: last_tick, busy: Duration::ZERO };
        Self { core, clock, inputs, batches, waiting, last_tick, load, log }
    }

    pub(super) async fn run(mut self, first: Vec<Output>) {
        let mut batch = Batch::default();
        self.collect(&mut batch, first);
        if self.hand_over(batch).await.is_err() {
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
            let begun = Instant::now();
            let stop = messages.iter().any(|message| matches!(message, Message::Stop));
            let batch = self.decide(&mut messages);
            // The commit thread is gone: a commit failed, and nothing may be decided any more.
            if self.hand_over(batch).await.is_err() || stop {
                return;
            }
            self.load.busy += begun.elapsed();
        }
    }

    /// D1: an answer goes out when everything it tells is committed.
    async fn hand_over(&self, batch: Batch) -> Result<(), mpsc::error::SendError<Batch>> {
        if batch.writes.is_empty() && self.log.outstanding.is_none() {
            batch.answer();
            return Ok(());
        }
        self.log.outstanding.add_one();
        self.batches.send(batch).await
    }

    fn next_tick(&self) -> Instant {
        let wanted = self.core.next_wakeup().map(|at| self.clock.instant_at(at));
        let latest = self.last_tick + SAFETY_TICK;
        wanted.map_or(latest, |at| at.min(latest)).max(self.last_tick + MIN_TICK)
    }

    fn decide(&mut self, messages: &mut Vec<Message>) -> Batch {
        let mut batch = Batch::default();
        // An error means that the commit thread is gone: then nothing is sent to it any more either.
        if self.log.committed.has_changed().unwrap_or(false) {
            let end = *self.log.committed.borrow_and_update();
            let outputs = self.core.handle(self.clock.now(), Input::Committed(end));
            self.collect(&mut batch, outputs);
        }
        for message in messages.drain(..) {
            let input = match message {
                Message::Request(token, input, replier, _place) => {
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
        if let Some(busy_percent) = self.load.percent() {
            let outputs = self.core.handle(self.clock.now(), Input::Load { busy_percent });
            self.collect(&mut batch, outputs);
        }
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
                Output::CompareLog { host, end } => self.compare(host, end),
            }
        }
    }

    /// Looks the row up beside the reducer's own work.
    fn compare(&self, host: HostName, end: LogEnd) {
        let (reader, queue) = (self.log.reader.clone(), self.log.queue.clone());
        tokio::spawn(async move {
            match reader.has(end).await {
                Ok(true) => {}
                Ok(false) => {
                    // No queue any more: the process is stopping.
                    if let Some(queue) = queue.upgrade() {
                        let _stopping =
                            queue.send(Message::Notice(Input::LogWentBack { host })).await;
                    }
                }
                Err(error) => tracing::warn!(%error, %host, "cannot compare the log"),
            }
        });
    }
}
