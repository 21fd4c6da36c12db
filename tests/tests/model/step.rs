//! One action after another: what the real cores make of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;
use wavegate_control_plane::core::{Answer, Input, Token, Write};
use wavegate_proto::ids::{CpEpoch, LogSeq};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_state_machine::agent::{AgentInput, MemoryDisk};
use wavegate_tests::release_kit::{closure, host_name};
use wavegate_tests::sim::{ControlPlane, Decided};

use crate::action::{Action, Fate, Fault, Loss};
use crate::bounds::Bounds;
use crate::setup::{BEFORE, HEARTBEAT_SECS, HOSTS, Setup, TICK_SECS};
use crate::state::{At, Control, Host, Poll, State, Truth};

mod hosts;
mod operator;
mod requests;

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
        let control =
            Control { process: None, disk: Arc::default(), found: LogSeq(0), databases: 1 };
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
        disk: MemoryDisk { running: Some(closure(BEFORE)), ..MemoryDisk::default() },
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
            Fault::Verb(wish) => self.wish(*wish),
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
}
