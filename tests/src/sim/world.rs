//! The world: a clock, a queue of what is to happen, and everything that can go wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use wavegate_control_plane::core::{Answer, Input, Token, Write};
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{ClosureId, CpEpoch, HostName, PersonName};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::operator::RolloutState;

use super::agent::Agent;
use super::behaviour::{Behaviour, Health};
use super::control_plane::{ControlPlane, Decided, HEARTBEAT_SECS};
use super::disk::Disk;
use super::history::History;
use super::invariants::Judge;
use super::network::{Request, Response};
use super::operator::{LOOK_SECS, Operator, Order};
use super::tally::{Rare, Tally};
use super::trace::Trace;
use crate::release_kit::{ChannelSpec, Kit, host_name};

mod event;
mod host_steps;

use event::Event;

/// How much goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Messages lost, of a hundred.
    pub lost_percent: u8,
    /// Messages repeated, of a hundred.
    pub repeated_percent: u8,
    /// Messages that take up to a minute and a half, of a hundred.
    pub late_percent: u8,
    /// Whether hosts' wall clocks are wrong, by days, and jump.
    pub wrong_clocks: bool,
    /// Whether agents and the control plane crash now and then.
    pub crashes: bool,
    /// Activations that fail for reasons other than the closure, of a hundred.
    pub infra_percent: u8,
}

/// Everything there is.
pub struct World {
    pub kit: Kit,
    pub rng: Rng,
    pub faults: Faults,
    pub behaviour: Behaviour,
    pub judge: Judge,
    pub disk: Disk,
    pub(super) now_millis: u64,
    pub(super) queue: BTreeMap<(u64, u64), Event>,
    pub(super) queued: u64,
    pub(super) control_plane: Option<ControlPlane>,
    pub(super) agents: BTreeMap<HostName, Agent>,
    pub(super) release: Option<Arc<Verified<Release>>>,
    pub(super) ids: u128,
    pub(super) numbers: u64,
    /// The first request on a connection to this process of the control plane.
    connected_from: u64,
    pub tally: Tally,
    pub history: History,
    pub(super) operator: Operator,
    pub trace: Trace,
}

/// A wall clock is wrong by at most this, in milliseconds: forty days.
const MAX_SKEW_MILLIS: i64 = 40 * 86_400_000;

/// When the simulation begins: 2026-11-21T09:00:00Z.
const BEGIN_UNIX_MILLIS: i64 = 1_795_251_600_000;

impl World {
    pub fn new(seed: u64, hosts: usize, faults: Faults) -> Self {
        let agents = (1..=hosts)
            .map(|number| (host_name(number), Agent::new(host_name(number), number as u128)))
            .collect();
        let mut world = Self {
            kit: Kit::default(),
            rng: Rng::with_seed(seed),
            faults,
            behaviour: Behaviour::default(),
            judge: Judge::default(),
            disk: Disk::default(),
            now_millis: 0,
            queue: BTreeMap::new(),
            queued: 0,
            control_plane: None,
            agents,
            release: None,
            ids: 1 << 64,
            numbers: 0,
            connected_from: 0,
            tally: Tally { seeds: 1, ..Tally::default() },
            history: History::default(),
            operator: Operator::default(),
            trace: Trace::default(),
        };
        world.push(0, Event::ControlPlaneStart);
        for number in 1..=hosts {
            let delay = world.rng.u64(0..5_000);
            world.push(delay, Event::AgentStart { host: host_name(number) });
        }
        if faults.wrong_clocks {
            for agent in world.agents.values_mut() {
                agent.skew_millis = world.rng.i64(-MAX_SKEW_MILLIS..MAX_SKEW_MILLIS);
            }
            world.push(30_000, Event::ClockJump);
        }
        if faults.crashes {
            world.push(60_000, Event::AgentCrash);
            world.push(150_000, Event::ControlPlaneCrash);
        }
        world
    }

    pub fn now(&self) -> Now {
        let wall = BEGIN_UNIX_MILLIS + i64::try_from(self.now_millis).unwrap();
        Now { wall: Timestamp::from_unix_millis(wall), mono: Mono::from_millis(self.now_millis) }
    }

    pub(super) fn push(&mut self, delay_millis: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now_millis + delay_millis, self.queued), event);
    }

    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(0..100) < percent
    }

    /// Publishes a release: it is in the release folder from now on, and adopted if anybody is there.
    pub fn publish(&mut self, serial: u64, channels: &[ChannelSpec]) {
        let release = self.kit.release(serial, self.now().wall, channels);
        for spec in channels {
            for entry in &spec.entries {
                self.judge.signed.insert((entry.host.clone(), entry.closure.clone()));
            }
        }
        self.release = Some(release);
        self.adopt();
    }

    fn adopt(&mut self) {
        let Some(release) = self.release.clone() else { return };
        let Some(control_plane) = &mut self.control_plane else { return };
        self.disk.keep(&release);
        let reply = control_plane.token();
        self.control_plane_step(Input::AdoptRelease { release, reply });
    }

    /// The database is deleted while the control plane is down; the release folder is left.
    pub fn wipe(&mut self) {
        if self.agents.values().any(Agent::soaks) {
            self.tally.reach(Rare::WipeDuringSoak);
        }
        if self.agents.values().any(Agent::rolls_back) {
            self.tally.reach(Rare::WipeDuringRollback);
        }
        self.replace_database(Disk::default());
    }

    /// The database is replaced by an older copy while the control plane is down.
    pub fn set_back(&mut self, older: Disk) {
        self.tally.reach(Rare::SetBackDatabase);
        self.replace_database(older);
    }

    fn replace_database(&mut self, older: Disk) {
        self.tally.wipes += 1;
        self.control_plane = None;
        self.disk.check_rebuild();
        self.disk = older;
        self.judge.new_database(&self.disk.log);
        self.push(3_000, Event::ControlPlaneStart);
    }

    /// The first host that soaks, as it sees itself.
    pub fn in_flight(&self) -> Option<HostName> {
        self.agents.values().find(|agent| agent.soaks()).map(|agent| agent.name.clone())
    }

    /// A host's agent dies and stays away for so many seconds.
    pub fn goes_away(&mut self, host: &HostName, secs: u64) {
        self.tally.crashes += 1;
        self.agents.get_mut(host).unwrap().away_until = self.now_millis + secs * 1000;
        self.agents.get_mut(host).unwrap().crash();
        self.push(secs * 1000, Event::AgentStart { host: host.clone() });
    }

    /// Whether some host is going back to what it ran before.
    pub fn somebody_rolls_back(&self) -> bool {
        self.agents.values().any(Agent::rolls_back)
    }

    /// Whether every host that went away is back.
    pub fn nobody_is_away(&self) -> bool {
        self.agents.values().all(|agent| agent.away_until <= self.now_millis)
    }

    /// Stops everything that goes wrong, so that everything can come to an end.
    pub fn calm(&mut self) {
        self.faults = Faults::default();
    }

    /// Lets `secs` seconds pass.
    pub fn advance(&mut self, secs: u64) {
        let until = self.now_millis + secs * 1000;
        while let Some(((at, _), _)) = self.queue.first_key_value()
            && *at <= until
        {
            let ((at, _), event) = self.queue.pop_first().unwrap();
            self.now_millis = at;
            self.tally.steps += 1;
            self.trace.at(at);
            self.trace.note(|| event.to_string());
            self.happen(event);
        }
        self.now_millis = until;
    }

    /// Lets time pass until `done`, at most `secs` seconds.
    ///
    /// # Panics
    /// When it takes longer.
    pub fn advance_until(&mut self, secs: u64, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now_millis + secs * 1000;
        while !done(self) {
            assert!(
                self.now_millis < end,
                "{what} has not come about in {secs} s:\n{}",
                self.picture()
            );
            self.advance(5);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToControlPlane { host, number, request } => {
                self.arrives(&host, number, &request);
            }
            Event::ToAgent { host, number, response } => self.answered(&host, number, response),
            Event::PollTimeout { host, token, number } => self.poll_timeout(host, token, number),
            Event::ControlPlaneTick => {
                self.control_plane_step(Input::Tick);
                self.operator_looks();
                self.push(LOOK_SECS * 1000, Event::ControlPlaneTick);
            }
            Event::ControlPlaneStart => self.start_control_plane(),
            Event::ControlPlaneCrash => self.crash_control_plane(),
            Event::AgentTick { host } => self.agent_tick(&host),
            Event::AgentStart { host } => self.start_agent(&host),
            Event::AgentCrash => self.crash_an_agent(),
            Event::ClockJump => self.clock_jumps(),
            Event::WorkDone { host, generation } => self.work_done(&host, generation),
            Event::Probe { host, generation, index } => self.probe(&host, generation, index),
        }
    }

    /// What people want from now on.
    pub fn order(&mut self, orders: &[Order]) {
        let now = self.now();
        self.operator.begin(orders, now);
    }

    fn operator_looks(&mut self) {
        let now = self.now();
        let Some(control_plane) = &self.control_plane else { return };
        for verb in self.operator.verbs(&control_plane.core, now) {
            let Some(control_plane) = &mut self.control_plane else { return };
            let reply = control_plane.token();
            self.trace.note(|| format!("somebody wants {verb:?}"));
            let (by, reason) = (PersonName::new("alice").unwrap(), "simulated".to_owned());
            self.control_plane_step(Input::Verb { verb, by, reason, reply });
        }
    }

    fn clock_jumps(&mut self) {
        if !self.faults.wrong_clocks {
            return;
        }
        let victim = self.rng.usize(0..self.agents.len());
        let skew = self.rng.i64(-MAX_SKEW_MILLIS..MAX_SKEW_MILLIS);
        self.agents.values_mut().nth(victim).unwrap().skew_millis = skew;
        self.tally.reach(Rare::ClockJumped);
        let next = self.rng.u64(5_000..120_000);
        self.push(next, Event::ClockJump);
    }

    fn start_control_plane(&mut self) {
        if self.control_plane.is_some() {
            return;
        }
        self.ids += 1;
        let fresh = CpEpoch(uuid::Uuid::from_u128(self.ids));
        let first = self.judge.dispatches == 0 && self.disk.log.is_empty();
        let now = self.now();
        self.connected_from = self.numbers + 1;
        self.control_plane = Some(ControlPlane::start(&mut self.disk, now, fresh, HEARTBEAT_SECS));
        self.adopt();
        if first && !self.queue.values().any(|e| matches!(e, Event::ControlPlaneTick)) {
            self.push(5_000, Event::ControlPlaneTick);
        }
    }

    fn crash_control_plane(&mut self) {
        if !self.faults.crashes {
            return;
        }
        self.control_plane = None;
        self.tally.crashes += 1;
        let (down, next) = (self.rng.u64(1_000..60_000), self.rng.u64(60_000..600_000));
        self.push(down, Event::ControlPlaneStart);
        self.push(down + next, Event::ControlPlaneCrash);
    }

    /// A request reaches the control plane, if it is there. A connection ends with the process at its end: only
    /// what somebody still waits for is sent again, on another.
    fn arrives(&mut self, host: &HostName, number: u64, request: &Request) {
        if number < self.connected_from && !self.agents[host].waiting.contains_key(&number) {
            return;
        }
        let Some(control_plane) = &mut self.control_plane else {
            self.send_back(host.clone(), number, Response::Lost);
            return;
        };
        let token = control_plane.token();
        let Some(input) = request.input(&self.kit, host, token) else { return };
        control_plane.requests.insert(token, (host.clone(), number));
        if matches!(request, Request::Poll) {
            self.push(55_000, Event::PollTimeout { host: host.clone(), token, number });
        }
        self.control_plane_step(input);
    }

    fn poll_timeout(&mut self, host: HostName, token: Token, number: u64) {
        let Some(control_plane) = &mut self.control_plane else { return };
        if control_plane.requests.get(&token) == Some(&(host.clone(), number)) {
            control_plane.requests.remove(&token);
            self.control_plane_step(Input::PollEnded { host: host.clone(), reply: token });
            self.send_back(host, number, Response::Answer(Box::new(Answer::Dispatch(None))));
        }
    }

    /// One batch: handled, committed, answered; a crash may come in between.
    fn control_plane_step(&mut self, input: Input) {
        let now = self.now();
        let Some(control_plane) = &mut self.control_plane else { return };
        let Decided { writes, replies, .. } = control_plane.step(now, &self.disk, input);
        if self.faults.crashes && !writes.is_empty() && self.rng.u32(0..400) == 0 {
            // Killed before the commit: neither the rows nor the answers exist.
            self.control_plane = None;
            self.tally.crashes += 1;
            self.tally.reach(Rare::KilledBeforeCommit);
            self.push(2_000, Event::ControlPlaneStart);
            return;
        }
        self.judge.committed(&control_plane.core, &writes, now.wall);
        self.history.note_writes(&writes);
        note_rare(&mut self.tally, &writes);
        self.trace.committed(&writes);
        self.disk.commit(writes);
        if self.faults.crashes && self.rng.u32(0..800) == 0 {
            // Killed after the commit: nobody is answered.
            self.control_plane = None;
            self.tally.crashes += 1;
            self.tally.reach(Rare::KilledBeforeAnswer);
            self.push(2_000, Event::ControlPlaneStart);
            return;
        }
        for (token, answer) in replies {
            if matches!(answer, Answer::Offered) {
                self.tally.reach(Rare::RolloutOffered);
            }
            let asked = self.control_plane.as_mut().and_then(|cp| cp.requests.remove(&token));
            if let Some((host, number)) = asked {
                self.send_back(host, number, Response::Answer(Box::new(answer)));
            }
        }
    }

    /// What this world came to.
    ///
    /// # Panics
    /// When its log does not give its derived tables.
    pub fn outcome(&self) -> Tally {
        self.disk.check_rebuild();
        Tally {
            host_rollouts: self.disk.host_rollouts.len() as u64,
            dispatches: self.judge.dispatches,
            virtual_millis: self.now_millis,
            ..self.tally.clone()
        }
    }

    fn send_back(&mut self, host: HostName, number: u64, response: Response) {
        if self.chance(self.faults.lost_percent) {
            return;
        }
        let delay = self.network_delay();
        self.push(delay, Event::ToAgent { host, number, response });
    }

    /// How long a message is under way, in milliseconds; a late one is overtaken by many others.
    fn network_delay(&mut self) -> u64 {
        if self.chance(self.faults.late_percent) {
            self.tally.reach(Rare::LateMessage);
            return self.rng.u64(300..90_000);
        }
        self.rng.u64(1..300)
    }

    /// What a person would want to see when a test fails.
    pub fn picture(&self) -> String {
        let mut lines = Vec::new();
        if let Some(control_plane) = &self.control_plane {
            let fleet = control_plane.core.fleet();
            for (id, budget) in &fleet.budgets {
                lines.push(format!("budget {id}: {:?}", budget.users));
            }
            for rollout in fleet.rollouts.values() {
                lines.push(format!(
                    "{} {} wave {}",
                    rollout.id, rollout.state, rollout.current_wave
                ));
                for (host, p) in &rollout.placements {
                    let (state, held) = (p.record.state, p.held.as_ref().map(|h| &h.hold));
                    lines.push(format!(
                        "  {host} {state} lease={} {held:?} seq {} infra {} unreported {}",
                        p.lease.is_some(),
                        p.record.last_seq,
                        p.infra_failures,
                        fleet.recovering.unreported.contains(host)
                    ));
                }
            }
        }
        for agent in self.agents.values() {
            let records = agent.core.iter().flat_map(|core| core.records());
            let records: Vec<String> =
                records.map(|r| format!("{}={}@{}", r.rollout_id, r.state, r.last_seq)).collect();
            lines.push(format!(
                "{} {} work={:?} poll={:?} post={:?}",
                agent.name,
                records.join(" "),
                agent.work,
                agent.polling,
                agent.posting
            ));
        }
        lines.join("\n")
    }

    /// What every host really runs.
    pub fn running(&self) -> BTreeMap<HostName, Option<ClosureId>> {
        self.agents.values().map(|a| (a.name.clone(), a.disk.running.clone())).collect()
    }

    /// Where the control plane says a rollout is.
    pub fn rollout_state(&self, id: &str) -> Option<RolloutState> {
        let id = id.parse().unwrap();
        Some(self.control_plane.as_ref()?.core.fleet().rollouts.get(&id)?.state)
    }

    /// Whether every host really runs the closure.
    pub fn all_run(&self, closure: &ClosureId) -> bool {
        self.agents.values().all(|agent| agent.disk.running.as_ref() == Some(closure))
    }

    /// How a closure behaves from now on.
    pub fn behaves(&mut self, closure: &ClosureId, health: Health) {
        self.behaviour.set(closure.clone(), health);
    }

    /// Every entry the control plane has answered is in the log (D1); call it when everything is quiet. Who
    /// has left the fleet is not heard any more.
    pub fn check_nothing_lost(&self) {
        let fleet = self.release.as_ref().map(|release| &release.fleet.hosts);
        let is_member = |host: &HostName| fleet.is_some_and(|hosts| hosts.contains_key(host));
        for agent in self.agents.values().filter(|agent| is_member(&agent.name)) {
            for journal in &agent.disk.journals {
                let answered = journal
                    .entries
                    .iter()
                    .filter(|e| e.answer != wavegate_state_machine::agent::Answer::Unanswered)
                    .map(|e| e.entry.seq)
                    .max();
                let Some(answered) = answered else { continue };
                let logged = self.judge.logged(journal.journal_id);
                let id = &journal.rollout_id;
                assert!(
                    logged >= answered,
                    "{} {id}: {answered} answered, {logged} logged",
                    agent.name
                );
            }
        }
    }

    /// The control plane's core, for documents.
    pub fn core(&self) -> Option<&wavegate_control_plane::core::Core> {
        self.control_plane.as_ref().map(|cp| &cp.core)
    }
}

/// Rare situations that the log tells of.
fn note_rare(tally: &mut Tally, batch: &[Write]) {
    for write in batch {
        let Write::Log(row) = write else { continue };
        let replayed = row.payload.get("replay").is_some();
        let skipped = row.payload.get("skipped").and_then(serde_json::Value::as_bool);
        let rare = match (row.kind, skipped) {
            ("event_refused", _) => Rare::EventRefused,
            ("refused", _) if replayed => Rare::ReplayWithRefused,
            ("journal_replaced", _) => Rare::JournalReplaced,
            ("journal_diverged", _) => Rare::JournalDiverged,
            ("dispatch_expired", _) => Rare::DispatchLapsed,
            ("dispatch_withdrawn", _) => Rare::DispatchWithdrawn,
            ("host_skipped", Some(true)) if row.payload["cause"] == "removed" => Rare::HostLeft,
            ("host_skipped", Some(true)) if row.actor.starts_with("operator/") => {
                Rare::SkippedByOperator
            }
            ("host_skipped", Some(true)) => Rare::SkippedOffline,
            ("host_skipped", Some(false)) => Rare::TakenInAgain,
            ("host_lost", _) => Rare::Lost,
            ("infra_retry", _) => Rare::InfraRetry,
            ("quarantine_added", _) => Rare::Quarantined,
            ("carried", _) => Rare::Carried,
            ("rollout_paused", _) => Rare::Paused,
            ("rollout_resumed", _) => Rare::Resumed,
            ("rollout_aborted", _) => Rare::Aborted,
            ("wave_approved", _) => Rare::Approved,
            ("host_held", _) => Rare::HostHeld,
            ("mark_restored", _) => Rare::MarkRestored,
            ("gate_changed", _) if row.payload["gate"] == "window" => Rare::WindowHeld,
            ("gate_changed", _) if row.payload["code"] == "channel-not-done" => Rare::ChannelHeld,
            ("gate_changed", _) if row.payload["code"] == "predecessor-not-converged" => {
                Rare::HostEdgeHeld
            }
            _ => continue,
        };
        tally.reach(rare);
    }
}
