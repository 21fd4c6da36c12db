//! One host of a swarm: the agent's core, a disk in memory, and one line to the control plane.
//!
//! Not here: its decisions (`wavegate_state_machine::agent`), what it asks (see [`super::requests`]).

mod answers;
mod effects;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use wavegate_agent::client::{Backoff, ClientError, ControlPlane, Credentials, Pace};
use wavegate_agent::clock;
use wavegate_proto::artifact::proof::{HostPlan, verify_rollout_proof};
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::event::Event;
use wavegate_proto::ids::{Attempt, BootId, ClosureId, HostName, JournalId, RolloutId};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::wire::agent::{EventsRequest, ResourceCounts, RolloutProof};
use wavegate_state_machine::agent::{
    AgentCore, AgentInput, HostFacts, JournalIds, MemoryDisk, Meta, OneWay, ProbeSchedule, Restored,
};

use super::report::End;
use super::requests::{Doing, Line, Work};
use super::{Shared, Word};

/// The agent's own pace after a request that got no answer.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// A host looks around this often whatever happens, and not more often than that.
const LATEST_LOOK: Duration = Duration::from_secs(30);
const EARLIEST_LOOK: Duration = Duration::from_millis(10);

/// Between two polls.
const POLL_DISTANCE: Duration = Duration::from_secs(1);

/// One host.
pub(super) struct Host {
    shared: Arc<Shared>,
    name: HostName,
    boot_id: BootId,
    url: String,
    credentials: Credentials,
    control_plane: ControlPlane,
    disk: MemoryDisk,
    /// What it ran before this swarm: that is healthy.
    found: Option<ClosureId>,
    core: AgentCore,
    doing: FuturesUnordered<Doing>,
    rng: Rng,
    backoff: Backoff,
    pace: Pace,
    heartbeat: Turn,
    poll: Turn,
    post: Turn,
    /// A dispatch whose plan is being fetched.
    dispatching: bool,
    /// The dispatch it was given last. It is given again when its plan could not be had, and counts once.
    given: Option<(RolloutId, Attempt)>,
    work: Option<Work>,
    probing: Option<(RolloutId, Vec<ProbeSchedule>)>,
    /// The probes of the closure fetched last.
    probes: Vec<ProbeSchedule>,
    /// What was begun before is not taken for what was begun last.
    generation: u64,
    probing_generation: u64,
    busy: bool,
    in_storm: bool,
    restart_at: Option<Instant>,
}

/// Whether a request of a kind is under way, and when the next one is due.
#[derive(Debug, Clone, Copy)]
struct Turn {
    under_way: bool,
    due: Instant,
}

impl Turn {
    fn is_due(self, now: Instant) -> bool {
        !self.under_way && self.due <= now
    }

    fn next(self) -> Option<Instant> {
        (!self.under_way).then_some(self.due)
    }
}

/// Journal ids by chance.
struct RandomIds<'a>(&'a mut Rng);

impl JournalIds for RandomIds<'_> {
    fn next_id(&mut self) -> JournalId {
        JournalId(uuid::Uuid::from_u128(self.0.u128(..)))
    }
}

impl Host {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: HostName,
        number: usize,
        url: &str,
        credentials: Credentials,
    ) -> Result<Self, ClientError> {
        let control_plane = ControlPlane::new(url, &credentials)?;
        let mut rng = Rng::new();
        let boot_id = BootId(uuid::Uuid::from_u128(rng.u128(..)));
        let disk = MemoryDisk::default();
        let restored = Restored {
            host: name.clone(),
            boot_id,
            meta: Meta::default(),
            journals: Vec::new(),
            activated: Vec::new(),
            rejected: Vec::new(),
            current: None,
            one_way: OneWay::Open,
        };
        let (core, _nothing_to_do) =
            AgentCore::restore(clock::now(), restored, &mut RandomIds(&mut rng));
        // They do not all begin at once: what is measured is not the beginning.
        let due = Instant::now() + Duration::from_micros(200) * u32::try_from(number).unwrap_or(0);
        let turn = Turn { under_way: false, due };
        let mut host = Self {
            shared,
            name,
            boot_id,
            url: url.to_owned(),
            credentials,
            control_plane,
            disk,
            found: None,
            core,
            doing: FuturesUnordered::new(),
            rng,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            pace: Pace::default(),
            heartbeat: turn,
            poll: turn,
            post: turn,
            dispatching: false,
            given: None,
            work: None,
            probing: None,
            probes: Vec::new(),
            generation: 0,
            probing_generation: 0,
            busy: false,
            in_storm: false,
            restart_at: None,
        };
        host.plan_restart();
        Ok(host)
    }

    /// Works until it is told to stop; says where it ended.
    pub(super) async fn run(mut self, mut told: watch::Receiver<Word>) -> End {
        loop {
            self.begin_requests();
            self.note_busy();
            let due = self.due();
            tokio::select! {
                Some(happened) = self.doing.next() => self.happened(happened),
                () = tokio::time::sleep_until(due) => self.look_around(),
                changed = told.changed() => {
                    let word = *told.borrow_and_update();
                    match word {
                        Word::GoOn if changed.is_ok() => {}
                        Word::Storm if changed.is_ok() => self.cut(),
                        Word::GoOn | Word::Storm | Word::Stop => return self.end(),
                    }
                }
            }
        }
    }

    fn look_around(&mut self) {
        if self.restart_at.is_some_and(|at| at <= Instant::now()) {
            self.shared.figures.restarted();
            self.restart();
        } else {
            self.input(AgentInput::Tick);
        }
    }

    /// The agent is killed and starts again from its disk.
    fn restart(&mut self) {
        self.disconnect();
        // A new process has not failed yet, and reports at once.
        self.backoff.reset();
        self.pace = Pace::default();
        self.heartbeat.due = Instant::now();
        self.work = None;
        self.probing = None;
        self.generation += 1;
        let verify = |proof: &RolloutProof| history(&self.shared, &self.name, proof);
        let restored = self.disk.restored(self.name.clone(), self.boot_id, &self.probes, verify);
        let (core, effects) =
            AgentCore::restore(clock::now(), restored, &mut RandomIds(&mut self.rng));
        self.core = core;
        self.plan_restart();
        self.perform(effects);
    }

    fn plan_restart(&mut self) {
        let spread = 2.0 * self.rng.f64();
        self.restart_at =
            self.shared.behaviour.restart_every.map(|every| Instant::now() + every.mul_f64(spread));
    }

    /// The connection is cut; what was under way is lost.
    fn cut(&mut self) {
        self.in_storm = true;
        self.pace.missed();
        let lost_heartbeat = self.heartbeat.under_way;
        self.disconnect();
        if !lost_heartbeat {
            self.heartbeat.due = Instant::now() + self.backoff.after_failure();
        }
    }

    /// A new client in place of the old one, whose requests are let go. Activations and probes go on.
    fn disconnect(&mut self) {
        if let Ok(fresh) = ControlPlane::new(&self.url, &self.credentials) {
            self.control_plane = fresh;
        }
        let kept = self.work.take();
        self.doing.clear();
        self.dispatching = false;
        let due = Instant::now() + self.backoff.after_failure();
        for turn in [&mut self.heartbeat, &mut self.poll, &mut self.post] {
            if turn.under_way {
                *turn = Turn { under_way: false, due };
            }
        }
        if let Some(work) = kept {
            self.begin(work);
        }
        self.probe_again();
    }

    fn begin_requests(&mut self) {
        let now = Instant::now();
        if self.heartbeat.is_due(now) {
            self.heartbeat.under_way = true;
            self.shared.figures.heartbeat_sent();
            let heartbeat = self.core.heartbeat(clock::now(), self.facts());
            let line = self.line();
            self.doing.push(line.heartbeat(heartbeat));
        }
        if self.post.is_due(now)
            && let Some(request) = self.core.next_post(clock::now())
        {
            self.post.under_way = true;
            self.note_converged(&request);
            let line = self.line();
            self.doing.push(line.events(request));
        }
        let polled_at = clock::mono();
        if self.poll.is_due(now) && !self.dispatching && self.core.wants_dispatch(polled_at) {
            self.poll.under_way = true;
            let line = self.line();
            self.doing.push(line.poll(polled_at));
        }
    }

    /// When it is sent: the answer may come after the dispatches that it brings about.
    fn note_converged(&self, request: &EventsRequest) {
        let converges = request.events.iter().any(|e| matches!(e.event, Event::Converged { .. }));
        let mut records = self.core.records();
        if let Some(record) = records.find(|record| record.rollout_id == request.rollout_id)
            && converges
            && !request.replay
        {
            self.shared.figures.converged(&record.rollout_id, record.wave);
        }
    }

    fn facts(&self) -> HostFacts {
        HostFacts {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_secs: clock::mono().millis() / 1000,
            trust_version: self.shared.trust.version,
            current_closure: self.disk.running.clone(),
            resources: ResourceCounts::default(),
            awaiting: Vec::new(),
        }
    }

    fn line(&mut self) -> Line {
        Line {
            control_plane: self.control_plane.clone(),
            latency: self.shared.behaviour.latency,
            loses: self.rng.f64() < self.shared.behaviour.loss,
        }
    }

    /// When it looks around next by itself.
    fn due(&self) -> Instant {
        let (now, mono) = (Instant::now(), clock::mono());
        let core = self.core.next_wakeup(mono);
        let core = core.map(|at| now + Duration::from_millis(at.millis_since(mono)));
        let poll = self.poll.next().filter(|at| *at > now);
        let post = self.post.next().filter(|at| *at > now);
        let turns = [core, self.heartbeat.next(), poll, post, self.restart_at];
        let next = turns.into_iter().flatten().min().unwrap_or(now + LATEST_LOOK);
        next.clamp(now + EARLIEST_LOOK, now + LATEST_LOOK)
    }

    fn input(&mut self, input: AgentInput) {
        let effects = self.core.handle(clock::now(), input, &mut RandomIds(&mut self.rng));
        self.perform(effects);
    }

    fn note_busy(&mut self) {
        let busy = self.dispatching || self.core.records().any(is_under_way);
        if busy != self.busy {
            self.busy = busy;
            self.shared.figures.is_busy(busy);
        }
    }

    /// Where it ended, checked against what it really runs.
    fn end(&self) -> End {
        let Some(newest) = self.core.records().max_by_key(|record| record.state_since) else {
            return End::Untouched;
        };
        let runs = &self.disk.running;
        match newest.state {
            _ if is_under_way(newest) => End::UnderWay,
            HostState::Converged if runs.as_ref() != Some(&newest.target_closure) => End::Wrong,
            HostState::Reverted if *runs != newest.prior_closure => End::Wrong,
            HostState::Converged => End::Converged,
            HostState::Reverted => End::Reverted,
            HostState::Failed => End::Failed,
            HostState::Pending | HostState::Skipped => End::Untouched,
            HostState::Activating | HostState::Deferred | HostState::Soaking => End::UnderWay,
        }
    }
}

fn is_under_way(record: &HostRecord) -> bool {
    record.is_rolling_back() || matches!(record.state, HostState::Activating | HostState::Soaking)
}

/// A plan of a journal of our own, verified again.
fn history(shared: &Shared, host: &HostName, proof: &RolloutProof) -> Option<Verified<HostPlan>> {
    let context = VerifyContext {
        trust: &shared.trust,
        now: clock::wall(),
        floor: SerialFloor::default(),
        freshness: Freshness::Ignored,
    };
    verify_rollout_proof(proof, host, &context).ok()
}
