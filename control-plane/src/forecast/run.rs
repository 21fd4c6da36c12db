//! One run: the core and its hosts, from one moment at which something happens to the next.
//!
//! At each moment every step that is due is taken, then the core plans, until nobody is dispatched any more: as
//! the service does with a batch. Hosts that are up send a heartbeat whenever silence would otherwise be held
//! against them, all in one round. Between two moments the core is asked for everything it waits for by the
//! clock: leases, back-offs, windows, the patience with silent hosts.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use wavegate_proto::artifact::release::Release;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::event::{Event, FailurePolicy};
use wavegate_proto::ids::{HostName, PersonName, RolloutId, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::time::{Mono, Now};
use wavegate_proto::wire::agent::Dispatch;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_reconciler::fleet::rollout::Rollout;
use wavegate_reconciler::forecast::Durations;
use wavegate_reconciler::gates::is_online;

use super::assumptions::Assumptions;
use super::host::{self, ModelHost, Step};
use super::record::Record;
use crate::core::{Answer, Core, Input, Output, Token, Verb, Write};

/// Nothing is looked for beyond this, in days.
const HORIZON_DAYS: u64 = 366;

/// What the core waits for by the clock is looked up before a pause of more than this, in seconds: as often as
/// the service plans without being asked.
const LOOK_AHEAD_SECS: u64 = 15;

/// With every so many hosts the moments of a run lie a second further apart.
const HOSTS_A_SECOND: usize = 1000;

/// The furthest that moments lie apart, in seconds.
const MAX_GRID_SECS: usize = 5;

/// A request whose answer nobody waits for.
const UNASKED: Token = Token(u64::MAX);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Every current rollout is terminal.
    Terminal,
    /// A rollout has failed: nothing more is dispatched in it.
    Halted,
    /// Something waits for what does not happen by itself.
    Waiting,
    /// It was broken off: it takes longer than a year, or too many steps.
    BrokenOff,
}

/// The core and its hosts.
pub(super) struct Run {
    pub(super) core: Core,
    pub(super) now: Now,
    pub(super) record: Record,
    hosts: Vec<ModelHost>,
    numbers: BTreeMap<HostName, usize>,
    durations: BTreeMap<RolloutId, Durations>,
    /// Steps by when they are taken, then in the order in which they came up.
    steps: BTreeMap<(Mono, u64), (usize, RolloutId, Step)>,
    next_step: u64,
    /// Dispatches that hosts have been given and not taken yet.
    given: Vec<(usize, Dispatch)>,
    /// The end of what is looked at.
    horizon: Mono,
    rounds_every_secs: u64,
    last_round: Mono,
    fail: f64,
    rng: Rng,
}

impl Run {
    /// Adopts a release; nothing is planned yet. Hosts that the core has not heard from are silent throughout, unless it
    /// has never had a release: then nobody could have spoken.
    pub(super) fn adopt(
        core: Core,
        release: &Arc<Verified<Release>>,
        now: Now,
        assumptions: Assumptions,
    ) -> Self {
        let heard_before = core.fleet().release.is_some();
        let mut run = Self {
            core,
            now,
            record: Record::default(),
            hosts: Vec::new(),
            numbers: BTreeMap::new(),
            durations: BTreeMap::new(),
            steps: BTreeMap::new(),
            next_step: 0,
            given: Vec::new(),
            horizon: now.mono.plus_secs(HORIZON_DAYS * 86_400),
            rounds_every_secs: 1,
            last_round: now.mono,
            fail: assumptions.fail,
            rng: Rng::with_seed(assumptions.seed),
        };
        let release = Arc::clone(release);
        run.send(Input::AdoptRelease { release, reply: UNASKED });
        run.approve_every_wave();
        run.make_hosts(heard_before, assumptions.offline);
        let patience = run.current().map(|rollout| rollout.policy().offline_after_secs).min();
        run.rounds_every_secs = patience.unwrap_or(1).max(1);
        run.heartbeats();
        for number in 0..run.hosts.len() {
            run.poll(number);
            run.resume(number);
        }
        run
    }

    /// Approvals are taken as given: when a person decides is nothing that can be forecast.
    fn approve_every_wave(&mut self) {
        let Ok(by) = "forecast".parse::<PersonName>() else { return };
        let waves = self.current().flat_map(|rollout| {
            let waves = rollout.policy().waves.iter().zip((0_u32..).map(WaveIndex));
            let asked = waves.filter(|(wave, _)| wave.requires_approval);
            asked.map(|(_, index)| (rollout.id.clone(), index))
        });
        let waves: Vec<(RolloutId, WaveIndex)> = waves.collect();
        for (rollout_id, wave) in waves {
            let verb = Verb::Approve { rollout_id, wave };
            let reason = "taken as given".to_owned();
            self.send(Input::Verb { verb, by: by.clone(), reason, reply: UNASKED });
        }
    }

    fn make_hosts(&mut self, heard_before: bool, offline: f64) {
        let fleet = self.core.fleet();
        let members = fleet.hosts.iter().filter(|(_, host)| host.member.is_some());
        for (number, (name, host)) in members.enumerate() {
            let current = host.member.as_ref().and_then(|m| fleet.current_rollout(&m.channel));
            let patience = current.map_or(u64::MAX, |r| r.policy().offline_after_secs);
            let heard = !heard_before || is_online(host, patience, self.now.mono);
            let up = heard && self.rng.f64() >= offline;
            let running = host.liveness.current_closure.clone().flatten();
            self.hosts.push(ModelHost::new(number, name.clone(), up, running));
            self.numbers.insert(name.clone(), number);
        }
    }

    /// The rollouts that are current on their channel.
    pub(super) fn current(&self) -> impl Iterator<Item = &Rollout> {
        let fleet = self.core.fleet();
        fleet.channels.keys().filter_map(|channel| fleet.current_rollout(channel))
    }

    /// Plans, and goes on until there is nothing to wait for. A run that takes more than `effort` is broken off:
    /// about so many times a host is looked at.
    pub(super) fn finish(&mut self, effort: u64) -> Ending {
        self.settle();
        let mut left = effort;
        loop {
            if self.current().all(|rollout| rollout.state == RolloutState::Terminal) {
                return Ending::Terminal;
            }
            let Some(next) = self.next_moment() else { return self.waits() };
            if next > self.horizon {
                return Ending::BrokenOff;
            }
            let candidates: usize =
                self.current().map(|rollout| rollout.all_candidates().count()).sum();
            let cost = u64::try_from(candidates).unwrap_or(u64::MAX).saturating_add(1);
            let Some(rest) = left.checked_sub(cost) else { return Ending::BrokenOff };
            left = rest;
            self.go_to(next);
            self.take_steps();
            self.settle();
        }
    }

    fn waits(&self) -> Ending {
        let halted = |rollout: &Rollout| {
            matches!(rollout.state, RolloutState::Failed | RolloutState::Reverted)
                || rollout.halt.is_some()
        };
        if self.current().any(halted) { Ending::Halted } else { Ending::Waiting }
    }

    fn go_to(&mut self, at: Mono) {
        self.now = Now { wall: self.now.wall_at(at), mono: at };
        if at.secs_since(self.last_round) >= self.rounds_every_secs {
            self.heartbeats();
        }
    }

    fn heartbeats(&mut self) {
        self.last_round = self.now.mono;
        for number in 0..self.hosts.len() {
            let host = &self.hosts[number];
            if host.up {
                let heartbeat = Box::new(host.heartbeat(self.core.fleet(), self.now.wall));
                let host = host.name.clone();
                self.send(Input::Heartbeat {
                    host,
                    heartbeat,
                    cert_expires_at: None,
                    reply: UNASKED,
                });
            }
        }
    }

    /// Waits for a dispatch.
    fn poll(&mut self, number: usize) {
        let host = &self.hosts[number];
        if host.up {
            let reply = Token(u64::try_from(number).unwrap_or(u64::MAX));
            let host = host.name.clone();
            self.send(Input::Poll { host, reply });
        }
    }

    /// Lets the core plan, and hosts take what they are given, until nobody is given anything.
    pub(super) fn settle(&mut self) {
        loop {
            let outputs = self.core.plan(self.now);
            self.take(outputs);
            if self.given.is_empty() {
                return;
            }
            for (number, dispatch) in std::mem::take(&mut self.given) {
                self.begin(number, &dispatch);
            }
        }
    }

    fn send(&mut self, input: Input) {
        let outputs = self.core.handle(self.now, input);
        self.take(outputs);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Write(write) => {
                    if let Write::Log(row) = *write {
                        self.record.note(self.core.fleet(), &row);
                    }
                }
                Output::Reply { to, answer: Answer::Dispatch(Some(dispatch)) } => {
                    if let Ok(number) = usize::try_from(to.0) {
                        self.given.push((number, *dispatch));
                    }
                }
                Output::Reply { .. } | Output::CompareLog { .. } => {}
            }
        }
    }

    fn post(&mut self, number: usize, rollout_id: &RolloutId, events: Vec<Event>) {
        let host = &self.hosts[number];
        let (fleet, at) = (self.core.fleet(), self.now.wall);
        if let Some(request) = host.journal(fleet, rollout_id, at, events) {
            let (host, request) = (host.name.clone(), Box::new(request));
            self.send(Input::Events { host, request, reply: UNASKED });
        }
    }

    /// A host takes its dispatch.
    fn begin(&mut self, number: usize, dispatch: &Dispatch) {
        let id = &dispatch.rollout_id;
        if dispatch.no_change {
            let carried = host::carry(self.core.fleet(), &self.hosts[number].name, id);
            self.post(number, id, carried.unwrap_or_default());
            self.poll(number);
            return;
        }
        let events = self.hosts[number].acknowledge(dispatch.attempt);
        self.post(number, id, events);
        let (took_secs, fails) = (self.draw_secs(id), self.rng.f64() < self.fail);
        self.later(number, id, took_secs, Step::Activate { fails });
    }

    fn later(&mut self, number: usize, rollout_id: &RolloutId, secs: u64, step: Step) {
        self.next_step += 1;
        let key = (self.on_the_grid(self.now.mono.plus_secs(secs)), self.next_step);
        self.steps.insert(key, (number, rollout_id.clone(), step));
    }

    /// The moment at which a step is taken: of a large fleet many at once, since each moment costs a look at
    /// everybody who waits. The nearest second, or up to five of them.
    fn on_the_grid(&self, at: Mono) -> Mono {
        let grid = (self.hosts.len() / HOSTS_A_SECOND).clamp(1, MAX_GRID_SECS) * 1000;
        let grid = u64::try_from(grid).unwrap_or(1000);
        let nearest = (at.millis() + grid / 2) / grid * grid;
        // Never back: a soak may be nothing.
        Mono::from_millis(nearest.max(self.now.mono.millis()))
    }

    /// How long one host takes, in seconds; at least one.
    fn draw_secs(&mut self, rollout_id: &RolloutId) -> u64 {
        let fleet = self.core.fleet();
        let Some(rollout) = fleet.rollouts.get(rollout_id) else { return 1 };
        let durations = self
            .durations
            .entry(rollout_id.clone())
            .or_insert_with(|| Durations::of(fleet, rollout));
        // As a cast a float that is too large becomes the largest number.
        (durations.quantile_secs(self.rng.f64()).ceil() as u64).max(1)
    }

    /// A host that was being worked on before the run goes on from where it stands. A probe that fails now
    /// goes on failing; one that has not reported passes.
    fn resume(&mut self, number: usize) {
        let host = &self.hosts[number];
        let Some((rollout, placement)) = self.core.fleet().newest_started(&host.name) else {
            return;
        };
        if !host.up {
            return;
        }
        let (id, record) = (rollout.id.clone(), placement.record.clone());
        let policy = rollout.policy();
        let since = |at| u64::try_from(self.now.wall.secs_since(at)).unwrap_or(0);
        match record.state {
            HostState::Activating => {
                let elapsed_secs = record.dispatch_acked_at.map_or(0, since);
                let left = self.draw_secs(&id).saturating_sub(elapsed_secs);
                self.later(number, &id, left.max(1), Step::Activate { fails: false });
            }
            HostState::Soaking if record.failing_enforce_probes().next().is_some() => {
                let (secs, step) = (policy.failure_threshold_secs, Step::Fail);
                self.later(number, &id, secs, step);
            }
            HostState::Soaking => {
                let soaked_secs = record.activation_completed_at.map_or(0, since);
                let left = rollout.soak_secs(record.wave).saturating_sub(soaked_secs);
                self.post(number, &id, host::unreported_passes(&record));
                self.later(number, &id, left, Step::Converge);
            }
            HostState::Failed if record.is_rolling_back() => {
                let secs = self.draw_secs(&id);
                self.later(number, &id, secs, Step::RollBack);
            }
            HostState::Pending
            | HostState::Deferred
            | HostState::Converged
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => {}
        }
    }

    fn take_steps(&mut self) {
        while let Some((key, _)) = self.steps.first_key_value()
            && key.0 <= self.now.mono
            && let Some((_, (number, rollout_id, step))) = self.steps.pop_first()
        {
            self.take_step(number, &rollout_id, step);
        }
    }

    fn take_step(&mut self, number: usize, id: &RolloutId, step: Step) {
        let fleet = self.core.fleet();
        let Some(rollout) = fleet.rollouts.get(id) else { return };
        let Some(placement) = rollout.placements.get(&self.hosts[number].name) else { return };
        let (policy, record) = (rollout.policy(), &placement.record);
        let soak_secs = rollout.soak_secs(record.wave);
        let threshold_secs = policy.failure_threshold_secs;
        match step {
            Step::Activate { fails } => {
                let events = host::activated(record, fails);
                self.hosts[number].running = Some(record.target_closure.clone());
                self.post(number, id, events);
                let (secs, next) =
                    if fails { (threshold_secs, Step::Fail) } else { (soak_secs, Step::Converge) };
                self.later(number, id, secs, next);
            }
            Step::Converge => {
                let events = host::converged(record, soak_secs);
                self.post(number, id, events);
                self.poll(number);
            }
            Step::Fail => {
                let on_failure = policy.on_health_failure;
                let events = host::failed(record, threshold_secs, on_failure);
                self.post(number, id, events);
                match on_failure {
                    FailurePolicy::RollbackAndHalt => {
                        let secs = self.draw_secs(id);
                        self.later(number, id, secs, Step::RollBack);
                    }
                    FailurePolicy::Halt => self.poll(number),
                }
            }
            Step::RollBack => {
                let events = host::rolled_back(record);
                self.hosts[number].running.clone_from(&record.prior_closure);
                self.post(number, id, events);
                self.poll(number);
            }
        }
    }

    /// When something happens next; `None`: nothing will by itself.
    fn next_moment(&self) -> Option<Mono> {
        let step = self.steps.first_key_value().map(|((at, _), _)| *at);
        let soon = self.now.mono.plus_secs(LOOK_AHEAD_SECS);
        if step.is_some_and(|at| at <= soon) {
            return step;
        }
        let later = |at: &Mono| *at > self.now.mono;
        let clock = self.core.next_wakeup().filter(later);
        [step, clock, self.end_of_patience()].into_iter().flatten().min()
    }

    /// When a silent host is left out next.
    fn end_of_patience(&self) -> Option<Mono> {
        let silent = |host: &&HostName| self.numbers.get(*host).is_none_or(|n| !self.hosts[*n].up);
        let of_rollout = |rollout: &Rollout| {
            let ahead = rollout.silences().filter(|(at, _)| *at > self.now.mono);
            ahead.filter(|(_, host)| silent(host)).map(|(at, _)| at).next()
        };
        let unfinished = |rollout: &&Rollout| {
            rollout.is_open() && rollout.halt.is_none() && rollout.state != RolloutState::Terminal
        };
        // Patience without an end is none that ends.
        let ends = self.current().filter(unfinished).filter_map(of_rollout).min();
        ends.filter(|at| *at <= self.horizon)
    }
}
