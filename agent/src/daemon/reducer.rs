//! The one task that owns the agent's core and its journal: decide, persist, publish, act.
//!
//! Not here: the decisions (`wavegate_state_machine::agent`), how effects are acted on
//! (see [`super::effects`]).

use std::collections::VecDeque;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wavegate_proto::artifact::rules::SerialFloor;
use wavegate_proto::ids::JournalId;
use wavegate_proto::record::HostState;
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::Heartbeat;
use wavegate_state_machine::agent::{AgentCore, AgentEffect, AgentInput, HostFacts, JournalIds};

use super::effects::Actor;
use super::inbox::{Message, Outlet, View};
use crate::clock;
use crate::journal::{Journal, JournalError};

/// The clock of timers stands still while the host sleeps; looking again this often makes up for it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A core that is due all the time must not spin.
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);

/// How long to wait before writing again to a disk that was full.
const DISK_FULL_WAIT: Duration = Duration::from_secs(2);

/// Journal ids from the system's randomness.
pub(super) struct RandomIds;

impl JournalIds for RandomIds {
    fn next_id(&mut self) -> JournalId {
        let mut random = [0; 16];
        if rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()) != Ok(16) {
            random = std::array::from_fn(|_| fastrand::u8(..));
        }
        JournalId(uuid::Builder::from_random_bytes(random).into_uuid())
    }
}

pub(super) struct Reducer {
    core: AgentCore,
    journal: Journal,
    outlet: Outlet,
    actor: Actor,
    ids: RandomIds,
    /// The last one made of what is durable, for heartbeats while the disk is full.
    last_heartbeat: Option<Heartbeat>,
    /// What came in while the disk was full. Few: whoever tells something waits for its end.
    deferred: VecDeque<Message>,
    stop: CancellationToken,
}

impl Reducer {
    pub(super) fn new(
        core: AgentCore,
        journal: Journal,
        outlet: Outlet,
        actor: Actor,
        stop: CancellationToken,
    ) -> Self {
        Self {
            core,
            journal,
            outlet,
            actor,
            ids: RandomIds,
            last_heartbeat: None,
            deferred: VecDeque::new(),
            stop,
        }
    }

    /// Acts on what was found at the start, then on everything that happens, until stopped.
    pub(super) async fn run(mut self, first: Vec<AgentEffect>) -> Result<(), JournalError> {
        self.carry_out(first).await?;
        let stop = self.stop.clone();
        loop {
            while let Some(message) = self.deferred.pop_front() {
                self.take(message).await?;
            }
            let sleep = self.until_wakeup();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                message = self.outlet.messages.recv() => match message {
                    Some(message) => self.take(message).await?,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(sleep) => self.decide(AgentInput::Tick).await?,
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), JournalError> {
        match message {
            Message::Input(input, done) => {
                self.decide(*input).await?;
                // Whoever told may have been stopped meanwhile.
                let _gone = done.send(());
            }
            Message::NextPost(reply) => {
                let _gone = reply.send(self.core.next_post(clock::now()));
            }
            Message::Heartbeat(facts, reply) => {
                let heartbeat = self.core.heartbeat(clock::now(), facts);
                self.last_heartbeat = Some(heartbeat.clone());
                let _gone = reply.send(heartbeat);
            }
            Message::KeepTrust(version, done) => {
                self.persist(|journal| journal.keep_trust(&version, clock::wall())).await?;
                let _gone = done.send(());
            }
            Message::KeepNote(note) => {
                match tokio::task::block_in_place(|| self.journal.keep_note(&note)) {
                    Ok(()) | Err(JournalError::DiskFull) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    async fn decide(&mut self, input: AgentInput) -> Result<(), JournalError> {
        let effects = self.core.handle(clock::now(), input, &mut self.ids);
        self.carry_out(effects).await
    }

    /// Persist, publish, act: nobody sees or does anything that is not durable.
    async fn carry_out(&mut self, effects: Vec<AgentEffect>) -> Result<(), JournalError> {
        self.persist(|journal| journal.commit(&effects)).await?;
        self.publish();
        for effect in effects {
            self.actor.act(effect);
        }
        self.actor.more_to_post();
        Ok(())
    }

    /// A full disk is waited for: what runs keeps running, nothing new begins, heartbeats go on.
    async fn persist(
        &mut self,
        write: impl Fn(&mut Journal) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        loop {
            match tokio::task::block_in_place(|| write(&mut self.journal)) {
                Ok(()) => return Ok(()),
                Err(JournalError::DiskFull) => {
                    tracing::error!("degraded: the disk is full, nothing new is begun");
                    self.wait_for_room().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn wait_for_room(&mut self) -> Result<(), JournalError> {
        let again = tokio::time::Instant::now() + DISK_FULL_WAIT;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Err(JournalError::DiskFull),
                () = tokio::time::sleep_until(again) => return Ok(()),
                Some(message) = self.outlet.messages.recv() => match (message, &self.last_heartbeat) {
                    (Message::Heartbeat(facts, reply), Some(last)) => {
                        let _gone = reply.send(refreshed(last, facts));
                    }
                    (Message::KeepNote(_), _) => {}
                    (other, _) => self.deferred.push_back(other),
                },
            }
        }
    }

    fn publish(&self) {
        let now = clock::now();
        let meta = self.core.meta();
        let converged = |record: &&wavegate_proto::record::HostRecord| {
            record.state == HostState::Converged && record.current_closure.is_some()
        };
        let busy = self.core.records().any(|record| {
            matches!(record.state, HostState::Activating | HostState::Soaking)
                || record.is_rolling_back()
        });
        let newest = self.core.records().filter(converged).max_by_key(|r| r.converged_at);
        let view = View {
            wants_dispatch: self.core.wants_dispatch(now.mono),
            floor: SerialFloor { serial: meta.serial, fleet_sha256: meta.fleet_sha256 },
            converged: newest.filter(|_| !busy).and_then(|r| r.current_closure.clone()),
            in_use: self.core.documents_in_use().collect(),
        };
        self.outlet.view.send_if_modified(|known| {
            let changed = *known != view;
            *known = view;
            changed
        });
    }

    fn until_wakeup(&self) -> Duration {
        let now: Mono = clock::mono();
        let wakeup = self.core.next_wakeup(now);
        let wait = wakeup.map(|at| Duration::from_millis(at.millis_since(now)));
        wait.unwrap_or(LONGEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }
}

fn refreshed(last: &Heartbeat, facts: HostFacts) -> Heartbeat {
    Heartbeat {
        at: clock::wall(),
        uptime_secs: facts.uptime_secs,
        trust_version: Some(facts.trust_version),
        current_closure: facts.current_closure,
        resources: facts.resources,
        awaiting: facts.awaiting,
        ..last.clone()
    }
}
