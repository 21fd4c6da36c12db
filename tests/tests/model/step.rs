//! One action after another: what the real cores make of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;
use wavegate_control_plane::core::{Answer, Input, Token, Write};
use wavegate_proto::event::{Event, FailureClass, ProbeOutcome};
use wavegate_proto::ids::{BootId, ClosureId, CpEpoch, LogSeq, RolloutId};
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat, ResourceCounts, RolloutProof};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentCore, AgentEffect, AgentInput, HostFacts, OfferOutcome, RollbackOutcome,
};
use wavegate_tests::release_kit::{closure, host_name};
use wavegate_tests::sim::{
    AgentDisk, ControlPlane, Decided, INFRA_FAILURE, Ids, Work, post_outcome, probes,
};

use crate::action::{Action, Fate, Fault, Loss, Outcome};
use crate::bounds::Bounds;
use crate::setup::{BEFORE, HEARTBEAT_SECS, HOSTS, Setup, TICK_SECS};
use crate::state::{At, Control, Host, Late, Poll, State, Truth};

/// A step under way.
pub(crate) struct Step<'a> {
    pub(crate) state: State,
    setup: &'a Setup,
    /// The agent of this host dies after so many more effects.
    cut: Option<(At, usize)>,
    /// Whether it did.
    died: bool,
    /// The states that rollouts went through.
    pub(crate) rollouts: BTreeSet<RolloutState>,
}

impl State {
    /// The first release is out, and nobody has reported yet.
    pub(crate) fn begin(setup: &Setup, left: Bounds) -> Self {
        let hosts = std::array::from_fn(|at| Arc::new(new_host(at)));
        let control = Control {
            process: None,
            disk: Arc::default(),
            found: LogSeq(0),
            databases: 1,
        };
        let mut step = Step::new(Self::new(control, hosts, left), setup);
        (0..HOSTS).for_each(|at| step.start_agent(at));
        step.start_control();
        step.settle();
        step.state.seal(None);
        step.state
    }

    /// What `action` makes of this state, and the states that rollouts went through on the way; `None`:
    /// nothing of the kind.
    pub(crate) fn after(
        &self,
        setup: &Setup,
        action: &Action,
    ) -> Option<(Self, BTreeSet<RolloutState>)> {
        let mut step = Step::new(self.clone(), setup);
        step.take(action);
        if step.cut.is_some() && !step.died {
            // It was over before it could be cut: that is another action.
            return None;
        }
        step.settle();
        step.state.seal(Some(self));
        Some((step.state, step.rollouts))
    }
}

fn new_host(at: At) -> Host {
    Host {
        name: host_name(at + 1),
        disk: AgentDisk { running: Some(closure(BEFORE)), ..AgentDisk::default() },
        agent: None,
        work: None,
        staged: None,
        boots: 1,
        probing: None,
        poll: Poll::Idle,
        owes_heartbeat: false,
        has_events: false,
        last_posted: None,
        sick: false,
        journals: 0,
        truth: Truth::default(),
    }
}

impl<'a> Step<'a> {
    fn new(state: State, setup: &'a Setup) -> Self {
        Self { state, setup, cut: None, died: false, rollouts: BTreeSet::new() }
    }

    /// Hosts that want a dispatch ask for it, and the judge looks.
    fn settle(&mut self) {
        for at in 0..HOSTS {
            self.poll(at);
        }
        for at in 0..HOSTS {
            let now = self.state.host_now();
            let host = &self.state.hosts[at];
            let agent = host.agent.clone();
            let has_events = agent.is_some_and(|mut agent| agent.next_post(now).is_some());
            if host.has_events != has_events {
                self.host(at).has_events = has_events;
            }
        }
        self.judge();
    }

    fn host(&mut self, at: At) -> &mut Host {
        Arc::make_mut(&mut self.state.hosts[at])
    }

    fn control(&mut self) -> &mut Control {
        Arc::make_mut(&mut self.state.control)
    }

    fn take(&mut self, action: &Action) {
        match action {
            Action::Deliver(at) => self.deliver(*at),
            Action::Post(at, fate) => self.post(*at, *fate),
            Action::Report(at, fate) => self.report(*at, *fate),
            Action::Finish(at, outcome) => self.end_work(*at, *outcome),
            Action::Probe(at) => self.probe(*at),
            Action::Wait => self.pass_time(),
            Action::Reboot(at) => self.reboot(*at),
            Action::StartAgent(at) => self.start_agent(*at),
            Action::StartControl => self.start_control(),
            Action::Fault(fault) => self.fault(fault),
        }
    }

    fn fault(&mut self, fault: &Fault) {
        match fault {
            Fault::LoseDispatch(at) => {
                self.state.left.losses -= 1;
                self.host(*at).poll = Poll::Idle;
            }
            Fault::Delay => {
                self.state.left.delays -= 1;
                self.pass_time();
            }
            Fault::Arrive(index) => self.arrive(*index),
            Fault::CrashAgent(at) => {
                self.state.left.agent_crashes -= 1;
                self.crash_agent(*at);
            }
            Fault::Cut(action, at, after) => {
                self.state.left.agent_crashes -= 1;
                self.cut = Some((*at, *after));
                self.take(action);
            }
            Fault::CrashControl(loss) => self.crash_control(*loss),
            Fault::Backup => self.state.backup = Some(Arc::clone(&self.state.control.disk)),
            Fault::Publish => {
                self.state.left.releases -= 1;
                self.state.released += 1;
                self.adopt();
            }
            Fault::Sicken(at) => {
                self.state.left.sick -= 1;
                self.host(*at).sick = true;
            }
        }
    }

    /// A tick passes: the control plane looks at its deadlines, hosts send their heartbeats and look at
    /// theirs. Heartbeats that are owed, and so in any order with the rest, are another action.
    fn pass_time(&mut self) {
        self.state.clock_millis += TICK_SECS * 1000;
        self.ask(|_| Input::Tick);
        for at in 0..HOSTS {
            if self.state.hosts[at].agent.is_some() && self.state.control.process.is_some() {
                self.report(at, Fate::Arrives);
            }
        }
        for at in 0..HOSTS {
            self.input(at, AgentInput::Tick);
        }
    }

    // The control plane.

    /// One batch of one input; the answer, unless it is still to come.
    fn ask(&mut self, input: impl FnOnce(Token) -> Input) -> Option<Answer> {
        let now = self.state.now();
        let control = Arc::make_mut(&mut self.state.control);
        let process = control.process.as_mut()?;
        let token = process.token();
        let Decided { writes, replies, .. } = process.step(now, &control.disk, input(token));
        self.commit(writes);
        let mut answer = None;
        for (to, reply) in replies {
            if to == token {
                answer = Some(reply);
            } else {
                self.wake(to, reply);
            }
        }
        answer
    }

    fn commit(&mut self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        self.note_commit(&writes);
        Arc::make_mut(&mut self.control().disk).commit(writes);
    }

    /// The answer to a poll that was parked.
    fn wake(&mut self, to: Token, reply: Answer) {
        let process = self.control().process.as_mut().unwrap();
        let Some((name, _)) = process.requests.remove(&to) else { return };
        let at = self.state.hosts.iter().position(|host| host.name == name).unwrap();
        let Poll::Parked { polled_at } = self.state.hosts[at].poll else { return };
        self.host(at).poll = match reply {
            Answer::Dispatch(Some(dispatch)) => Poll::Answered { polled_at, dispatch },
            _ => Poll::Idle,
        };
    }

    fn start_control(&mut self) {
        let now = self.state.now();
        let control = self.control();
        control.found = control.disk.last_seq();
        let fresh = CpEpoch(Uuid::from_u128(u128::from(control.databases)));
        let disk = Arc::make_mut(&mut control.disk);
        let process = ControlPlane::start(disk, now, fresh, HEARTBEAT_SECS);
        control.process = Some(process);
        self.adopt();
        for at in 0..HOSTS {
            if self.state.hosts[at].agent.is_some() {
                self.host(at).owes_heartbeat = true;
            }
        }
    }

    fn adopt(&mut self) {
        let release = Arc::clone(&self.setup.releases[self.state.released - 1]);
        let answer = self.ask(|reply| Input::AdoptRelease { release, reply });
        assert!(matches!(answer, Some(Answer::Adopted(_))), "{answer:?}");
    }

    fn crash_control(&mut self, loss: Loss) {
        let backup = self.state.backup.clone();
        let control = self.control();
        control.process = None;
        match loss {
            Loss::Nothing => self.state.left.control_crashes -= 1,
            Loss::Database => {
                control.disk = Arc::default();
                control.databases += 1;
                self.state.left.wipes -= 1;
                self.state.ghosts.forgot = true;
            }
            Loss::SinceBackup => {
                control.disk = backup.unwrap();
                control.databases += 1;
                self.state.left.restores -= 1;
                self.state.backup = None;
                self.state.ghosts.forgot = true;
            }
        }
        for at in 0..HOSTS {
            if matches!(self.state.hosts[at].poll, Poll::Parked { .. }) {
                self.host(at).poll = Poll::Idle;
            }
        }
    }

    // Requests of hosts.

    fn poll(&mut self, at: At) {
        let now = self.state.host_now();
        let host = &self.state.hosts[at];
        let wants = host.agent.as_ref().is_some_and(|agent| agent.wants_dispatch(now.mono));
        if !wants || host.poll != Poll::Idle || self.state.control.process.is_none() {
            return;
        }
        let (name, polled_at) = (host.name.clone(), now.mono);
        let mut parked = None;
        let answer = self.ask(|reply| {
            parked = Some(reply);
            Input::Poll { host: name.clone(), reply }
        });
        self.host(at).poll = match answer {
            Some(Answer::Dispatch(Some(dispatch))) => Poll::Answered { polled_at, dispatch },
            Some(_) => Poll::Idle,
            None => {
                let process = self.control().process.as_mut().unwrap();
                process.requests.insert(parked.unwrap(), (name, 0));
                Poll::Parked { polled_at }
            }
        };
    }

    fn deliver(&mut self, at: At) {
        let host = self.host(at);
        let current = host.disk.running.clone();
        let Poll::Answered { polled_at, dispatch } = std::mem::replace(&mut host.poll, Poll::Idle)
        else {
            return;
        };
        let plan = Ok(self.setup.plan(&self.state.hosts[at].name, &dispatch.rollout_id).clone());
        let dispatch = *dispatch;
        self.input(at, AgentInput::DispatchOffered { dispatch, polled_at, plan, current });
    }

    fn post(&mut self, at: At, fate: Fate) {
        let now = self.state.host_now();
        let Some(request) = self.host(at).agent.as_mut().and_then(|agent| agent.next_post(now))
        else {
            return;
        };
        let (rollout_id, journal_id) = (request.rollout_id.clone(), request.journal_id);
        self.host(at).last_posted = Some(rollout_id.clone());
        let late = Late::Events(request.clone());
        let answer = self.exchange(at, fate, late, |step| step.send_events(at, request));
        let outcome = post_outcome(answer);
        self.input(at, AgentInput::EventsAnswered { rollout_id, journal_id, outcome });
    }

    fn report(&mut self, at: At, fate: Fate) {
        let now = self.state.host_now();
        let host = self.host(at);
        host.owes_heartbeat = false;
        let current_closure = host.disk.running.clone();
        let Some(agent) = &host.agent else { return };
        let heartbeat = Box::new(agent.heartbeat(
            now,
            HostFacts {
                agent_version: String::new(),
                uptime_secs: 0,
                current_closure,
                resources: ResourceCounts::default(),
                awaiting: Vec::new(),
            },
        ));
        let late = Late::Heartbeat(heartbeat.clone());
        let answer = self.exchange(at, fate, late, |step| step.send_heartbeat(at, heartbeat));
        if let Some(Answer::Heartbeat(answer)) = answer {
            self.input(at, AgentInput::HeartbeatAnswered(*answer));
        }
    }

    /// A request and its answer, as `fate` has it.
    fn exchange(
        &mut self,
        at: At,
        fate: Fate,
        copy: Late,
        send: impl FnOnce(&mut Self) -> Option<Answer>,
    ) -> Option<Answer> {
        match fate {
            Fate::Arrives => send(self),
            Fate::RequestLost => {
                self.state.left.losses -= 1;
                None
            }
            Fate::AnswerLost => {
                self.state.left.losses -= 1;
                send(self);
                None
            }
            Fate::Repeated => {
                self.state.left.late -= 1;
                self.state.late.push((at, copy));
                send(self)
            }
            Fate::GivenUp => {
                self.state.left.late -= 1;
                self.state.late.push((at, copy));
                None
            }
            Fate::DiesBeforeAnswer => {
                send(self);
                self.crash_control(Loss::Nothing);
                None
            }
        }
    }

    fn arrive(&mut self, index: usize) {
        let (at, late) = self.state.late.remove(index);
        match late {
            Late::Heartbeat(heartbeat) => drop(self.send_heartbeat(at, heartbeat)),
            Late::Events(request) => drop(self.send_events(at, request)),
        }
    }

    fn send_events(&mut self, at: At, request: EventsRequest) -> Option<Answer> {
        let host = self.state.hosts[at].name.clone();
        self.ask(|reply| Input::Events { host, request: Box::new(request), reply })
    }

    fn send_heartbeat(&mut self, at: At, heartbeat: Box<Heartbeat>) -> Option<Answer> {
        let host = self.state.hosts[at].name.clone();
        self.ask(|reply| Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply })
    }

    // What happens on hosts.

    fn start_agent(&mut self, at: At) {
        let (now, setup) = (self.state.host_now(), self.setup);
        let host = self.host(at);
        let boot_id = BootId(Uuid::from_u128(u128::from(host.boots)));
        // The stored proof verifies to the same plan each time.
        let name = host.name.clone();
        let verify = |proof: &RolloutProof| setup.plan_of(&name, proof).clone();
        let restored = host.disk.restored(name.clone(), boot_id, verify);
        let mut ids = next_ids(at, host.journals);
        let (agent, effects) = AgentCore::restore(now, restored, &mut Ids(&mut ids));
        host.journals = journals(at, ids);
        host.agent = Some(agent);
        host.owes_heartbeat = true;
        self.perform(at, effects);
    }

    /// The machine starts anew, and with it what was staged.
    fn reboot(&mut self, at: At) {
        self.crash_agent(at);
        let host = self.host(at);
        host.boots += 1;
        let staged = host.staged.take();
        self.runs(at, staged);
    }

    fn crash_agent(&mut self, at: At) {
        let host = self.host(at);
        host.agent = None;
        host.work = None;
        host.probing = None;
        host.poll = Poll::Idle;
        host.owes_heartbeat = false;
        host.last_posted = None;
        let name = host.name.clone();
        if let Some(process) = &mut self.control().process {
            process.requests.retain(|_, (waiting, _)| *waiting != name);
        }
    }

    fn input(&mut self, at: At, input: AgentInput) {
        let now = self.state.host_now();
        let host = self.host(at);
        let Some(agent) = &mut host.agent else { return };
        let mut ids = next_ids(at, host.journals);
        let effects = agent.handle(now, input, &mut Ids(&mut ids));
        host.journals = journals(at, ids);
        self.perform(at, effects);
    }

    /// Performs effects in order, and then what follows from them.
    fn perform(&mut self, at: At, effects: Vec<AgentEffect>) {
        let mut follows = VecDeque::new();
        for effect in effects {
            if let Some((victim, after)) = &mut self.cut
                && *victim == at
            {
                if *after == 0 {
                    self.died = true;
                    self.crash_agent(at);
                    return;
                }
                *after -= 1;
            }
            self.note_effect(at, &effect);
            if !self.host(at).disk.write(&effect) {
                follows.extend(self.act(at, effect));
            }
        }
        for input in follows {
            self.input(at, input);
        }
    }

    fn act(&mut self, at: At, effect: AgentEffect) -> Option<AgentInput> {
        let host = self.host(at);
        match effect {
            AgentEffect::Activate { rollout_id, closure, .. } => {
                host.work = Some(Work::Activating { rollout_id, closure });
            }
            AgentEffect::Rollback { rollout_id, to, .. } => {
                host.work = Some(Work::RollingBack { rollout_id, to });
            }
            AgentEffect::StartProbes { rollout_id, .. } => host.probing = Some((rollout_id, None)),
            AgentEffect::StopProbes => host.probing = None,
            AgentEffect::HeartbeatNow => host.owes_heartbeat = true,
            AgentEffect::OfferRollout { rollout_id, proof } => {
                return Some(self.offer(at, rollout_id, proof));
            }
            AgentEffect::FetchPlan { rollout_id } => {
                let current = host.disk.running.clone();
                let plan = Ok(self.setup.plan(&self.state.hosts[at].name, &rollout_id).clone());
                return Some(AgentInput::BootstrapPlan { rollout_id, plan, current });
            }
            AgentEffect::Satisfied(_) | AgentEffect::Log { .. } => {}
            AgentEffect::OpenJournal { .. }
            | AgentEffect::AttachProof { .. }
            | AgentEffect::Append { .. }
            | AgentEffect::MarkAnswered { .. }
            | AgentEffect::DropJournal { .. }
            | AgentEffect::SaveMeta(_)
            | AgentEffect::RememberActivated(_)
            | AgentEffect::Reject(_)
            | AgentEffect::Unreject(_) => unreachable!("written"),
        }
        None
    }

    fn offer(
        &mut self,
        at: At,
        rollout_id: RolloutId,
        proof: RolloutProof,
    ) -> AgentInput {
        let host = self.state.hosts[at].name.clone();
        let plan = Box::new(self.setup.plan(&host, &rollout_id).plan.clone());
        let proof = Box::new(proof);
        let taken = match self.ask(|reply| Input::OfferRollout { host, plan, proof, reply }) {
            Some(Answer::Offered) => OfferOutcome::Taken,
            _ => OfferOutcome::NotTaken,
        };
        AgentInput::RolloutOffered { rollout_id, taken }
    }

    fn end_work(&mut self, at: At, how: Outcome) {
        let Some(work) = self.host(at).work.take() else { return };
        let input = match work {
            Work::Activating { rollout_id, closure } => {
                let outcome = self.activated(at, how, closure);
                AgentInput::ActivationEnded { rollout_id, outcome }
            }
            Work::RollingBack { rollout_id, to } => {
                self.runs(at, to.clone());
                let outcome = RollbackOutcome::Complete { closure: to, exit_code: 0 };
                AgentInput::RollbackEnded { rollout_id, outcome }
            }
        };
        self.input(at, input);
    }

    fn activated(
        &mut self,
        at: At,
        how: Outcome,
        closure: ClosureId,
    ) -> ActivationOutcome {
        let failed = |class, reason: &str, changed| ActivationOutcome::Failed {
            class,
            reason: reason.to_owned(),
            exit_code: None,
            stderr_tail: None,
            changed,
        };
        match how {
            Outcome::Done => {
                let changed = self.state.hosts[at].disk.running.as_ref() != Some(&closure);
                self.runs(at, Some(closure));
                ActivationOutcome::Complete { exit_code: 0, changed, probes: probes() }
            }
            Outcome::Infra => {
                self.state.left.infra -= 1;
                failed(INFRA_FAILURE.0, INFRA_FAILURE.1, false)
            }
            Outcome::Deferred => {
                self.state.left.deferred -= 1;
                self.host(at).staged = Some(closure);
                ActivationOutcome::Deferred { component: "kernel".to_owned(), probes: probes() }
            }
            Outcome::Broken => {
                self.state.left.broken -= 1;
                failed(FailureClass::Artifact, "broken", true)
            }
        }
    }

    fn runs(&mut self, at: At, closure: Option<ClosureId>) {
        let host = self.host(at);
        // What fell sick is what ran.
        host.sick &= host.disk.running == closure;
        host.disk.running = closure;
        // Whatever was staged before is not what is to run any more.
        host.staged = None;
    }

    fn probe(&mut self, at: At) {
        let host = self.host(at);
        let outcome = host.outcome();
        let Some((rollout_id, told)) = &mut host.probing else { return };
        *told = Some(outcome);
        let rollout_id = rollout_id.clone();
        host.truth.passed |= outcome == ProbeOutcome::Pass;
        let name = probes()[0].declared.name.clone();
        let reason = (outcome == ProbeOutcome::Fail).then(|| "exit code 1".to_owned());
        let sub_results = Vec::new();
        self.input(
            at,
            AgentInput::ProbeReported { rollout_id, name, outcome, reason, sub_results },
        );
    }

    /// What really happened, for the judge.
    fn note_effect(&mut self, at: At, effect: &AgentEffect) {
        match effect {
            AgentEffect::Activate { rollout_id, closure, .. } => {
                self.judge_activation(at, rollout_id, closure);
                self.host(at).truth.passed = false;
            }
            AgentEffect::Rollback { to: Some(closure), .. } => self.judge_closure(at, closure),
            AgentEffect::Append { rollout_id, entry, .. } => match entry.event {
                Event::Converged { .. } => {
                    self.judge_converged(at);
                    self.host(at).truth.done.insert(rollout_id.clone());
                }
                Event::Carried { .. } | Event::ActivationDeferred { .. } => {
                    self.host(at).truth.done.insert(rollout_id.clone());
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Each host numbers its journals itself, so that ids do not depend on the order among hosts.
fn next_ids(at: At, journals: u64) -> u128 {
    ((at as u128 + 1) << 64) + u128::from(journals)
}

fn journals(at: At, ids: u128) -> u64 {
    u64::try_from(ids - ((at as u128 + 1) << 64)).unwrap()
}
