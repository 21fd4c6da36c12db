//! What hosts ask the control plane, and what becomes of it on the way.

use wavegate_control_plane::core::{Answer, Input};
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat, ResourceCounts};
use wavegate_state_machine::agent::{AgentInput, HostFacts};
use wavegate_tests::sim::post_outcome;

use super::Step;
use crate::action::{Fate, Loss};
use crate::state::{At, Late, Poll};

impl Step<'_> {
    pub(super) fn poll(&mut self, at: At) {
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

    pub(super) fn deliver(&mut self, at: At) {
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

    pub(super) fn post(&mut self, at: At, fate: Fate) {
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

    pub(super) fn report(&mut self, at: At, fate: Fate) {
        let now = self.state.host_now();
        let host = self.host(at);
        host.owes_heartbeat = false;
        let current_closure = host.disk.running.clone();
        let Some(agent) = &mut host.agent else { return };
        let heartbeat = Box::new(agent.heartbeat(
            now,
            HostFacts {
                agent_version: String::new(),
                uptime_secs: 0,
                trust_version: 1,
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
    pub(super) fn exchange(
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

    pub(super) fn arrive(&mut self, index: usize) {
        let (at, late) = self.state.late.remove(index);
        match late {
            Late::Heartbeat(heartbeat) => drop(self.send_heartbeat(at, heartbeat)),
            Late::Events(request) => drop(self.send_events(at, request)),
        }
    }

    pub(super) fn send_events(&mut self, at: At, request: EventsRequest) -> Option<Answer> {
        let host = self.state.hosts[at].name.clone();
        self.ask(|reply| Input::Events { host, request: Box::new(request), reply })
    }

    pub(super) fn send_heartbeat(&mut self, at: At, heartbeat: Box<Heartbeat>) -> Option<Answer> {
        let host = self.state.hosts[at].name.clone();
        self.ask(|reply| Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply })
    }
}
