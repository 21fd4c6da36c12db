//! What happens on hosts.

use wavegate_control_plane::core::Answer;
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::artifact::rules::VerifyContext;
use wavegate_proto::event::{FailureClass, ProbeOutcome};
use wavegate_proto::ids::HostName;
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::{ResourceCounts, RolloutProof};
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentEffect, AgentInput, HostFacts, OfferOutcome, OfferedPlan, Rejection,
    RollbackOutcome,
};

use super::super::agent::{Ids, Work};
use super::super::behaviour::{Health, INFRA_FAILURE, probes};
use super::super::network::{Purpose, Request, Response, post_outcome};
use super::super::tally::Rare;
use super::{Event, World};

/// No agent is looked at again sooner than this.
const EARLIEST_TICK_MILLIS: u64 = 20;

/// A host that is refused, since no release names it, asks again after this.
const REFUSED_POLL_SECS: u64 = 30;

/// An agent is looked at this often whatever it asks for.
const LATEST_TICK_MILLIS: u64 = 15_000;

impl World {
    pub(super) fn start_agent(&mut self, host: &HostName) {
        let now = self.now();
        let Some(agent) = self.agents.get_mut(host) else { return };
        if agent.core.is_some() || agent.away_until > self.now_millis {
            return;
        }
        let effects = agent.start(&self.kit, now, &mut Ids(&mut self.ids));
        self.perform(host, effects);
        self.pump(host);
    }

    pub(super) fn crash_an_agent(&mut self) {
        if !self.faults.crashes {
            return;
        }
        let victim = self.rng.usize(0..self.agents.len());
        let host = self.agents.keys().nth(victim).unwrap().clone();
        self.agents.get_mut(&host).unwrap().crash();
        self.tally.crashes += 1;
        let (down, next) = (self.rng.u64(500..20_000), self.rng.u64(5_000..60_000));
        self.push(down, Event::AgentStart { host });
        self.push(next, Event::AgentCrash);
    }

    fn input(&mut self, host: &HostName, input: AgentInput) {
        let now = self.now();
        let Some(agent) = self.agents.get_mut(host) else { return };
        let now = agent.clock(now);
        let Some(core) = &mut agent.core else { return };
        let effects = core.handle(now, input, &mut Ids(&mut self.ids));
        self.perform(host, effects);
        self.pump(host);
    }

    /// Writes what is to be written, all of it or nothing as the journal does; then does the rest in order. A
    /// crash may come before the writes, and between any two of the rest.
    fn perform(&mut self, host: &HostName, effects: Vec<AgentEffect>) {
        if effects.is_empty() || self.crashes_here(host) {
            return;
        }
        let mut rest = Vec::new();
        for effect in effects {
            self.trace.note(|| format!("    {host} does {}", brief(&effect)));
            self.history.note(host, &effect, self.now_millis);
            if !self.agents.get_mut(host).unwrap().disk.write(&effect) {
                rest.push(effect);
            }
        }
        for effect in rest {
            if self.crashes_here(host) {
                return;
            }
            self.act(host, effect);
        }
    }

    fn crashes_here(&mut self, host: &HostName) -> bool {
        if !self.faults.crashes || self.rng.u32(0..1500) > 0 {
            return false;
        }
        self.agents.get_mut(host).unwrap().crash();
        self.tally.crashes += 1;
        self.tally.reach(Rare::AgentKilledBetweenEffects);
        self.push(4_000, Event::AgentStart { host: host.clone() });
        true
    }

    fn act(&mut self, host: &HostName, effect: AgentEffect) {
        let now = self.now();
        let agent = self.agents.get_mut(host).unwrap();
        match effect {
            AgentEffect::Activate { rollout_id, closure, .. } => {
                self.judge.activates(host, &closure);
                self.begin(host, Work::Activating { rollout_id, closure });
            }
            AgentEffect::Rollback { rollout_id, to, .. } => {
                if let Some(closure) = &to {
                    self.judge.activates(host, closure);
                }
                self.begin(host, Work::RollingBack { rollout_id, to });
            }
            AgentEffect::StartProbes { rollout_id, probes, .. } => {
                agent.generation += 1;
                let generation = agent.generation;
                let count = probes.len();
                agent.probing = Some((generation, rollout_id, probes));
                for index in 0..count {
                    let delay = self.rng.u64(0..5_000);
                    self.push(delay, Event::Probe { host: host.clone(), generation, index });
                }
            }
            AgentEffect::StopProbes => agent.probing = None,
            AgentEffect::HeartbeatNow => agent.next_heartbeat = now.mono,
            AgentEffect::OfferRollout { rollout_id, proof } => {
                self.send(host, Request::Offer { rollout_id, proof: Box::new(proof) });
            }
            AgentEffect::FetchPlan { rollout_id } => {
                self.send(host, Request::Proof { rollout_id, purpose: Purpose::Bootstrap });
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
            | AgentEffect::Unreject(_)
            | AgentEffect::SettleOneWay { .. } => unreachable!("written"),
        }
    }

    fn begin(&mut self, host: &HostName, work: Work) {
        let delay = self.rng.u64(1_000..20_000);
        let agent = self.agents.get_mut(host).unwrap();
        agent.generation += 1;
        let generation = agent.generation;
        agent.work = Some((generation, work));
        self.push(delay, Event::WorkDone { host: host.clone(), generation });
    }

    pub(super) fn work_done(&mut self, host: &HostName, generation: u64) {
        let agent = self.agents.get_mut(host).unwrap();
        let Some((_, work)) = agent.work.take_if(|(current, _)| *current == generation) else {
            return;
        };
        match work {
            Work::Activating { rollout_id, closure } => {
                let outcome = if self.chance(self.faults.infra_percent) {
                    failed(INFRA_FAILURE.0, INFRA_FAILURE.1, false)
                } else if self.behaviour.of(&closure, host) == Health::Broken {
                    failed(FailureClass::Artifact, "broken", true)
                } else {
                    let agent = self.agents.get_mut(host).unwrap();
                    let changed = agent.disk.running.as_ref() != Some(&closure);
                    agent.disk.running = Some(closure);
                    ActivationOutcome::Complete { exit_code: 0, changed, probes: probes() }
                };
                self.input(host, AgentInput::ActivationEnded { rollout_id, outcome });
            }
            Work::RollingBack { rollout_id, to } => {
                agent.disk.running.clone_from(&to);
                let outcome = RollbackOutcome::Complete { closure: to, exit_code: 0 };
                self.input(host, AgentInput::RollbackEnded { rollout_id, outcome });
            }
        }
    }

    pub(super) fn probe(&mut self, host: &HostName, generation: u64, index: usize) {
        let agent = self.agents.get_mut(host).unwrap();
        let Some((current, rollout_id, schedules)) = agent.probing.clone() else { return };
        if current != generation {
            return;
        }
        let running = agent.disk.running.as_ref();
        let pass = running.is_some_and(|closure| self.behaviour.of(closure, host) == Health::Good);
        let outcome = if pass { ProbeOutcome::Pass } else { ProbeOutcome::Fail };
        if pass {
            self.judge.passed.insert(host.clone());
        }
        let schedule = &schedules[index];
        let reason = (!pass).then(|| "exit code 1".to_owned());
        let name = schedule.declared.name.clone();
        let sub_results = Vec::new();
        self.push(
            schedule.interval_secs * 1000,
            Event::Probe { host: host.clone(), generation, index },
        );
        self.input(
            host,
            AgentInput::ProbeReported { rollout_id, name, outcome, reason, sub_results },
        );
    }

    pub(super) fn agent_tick(&mut self, host: &HostName) {
        self.input(host, AgentInput::Tick);
    }

    /// Sends what is to be sent, and comes back when something is due.
    fn pump(&mut self, host: &HostName) {
        let now = self.now();
        self.give_up(host, now);
        let agent = self.agents.get_mut(host).unwrap();
        let now = agent.clock(now);
        let Some(core) = &mut agent.core else { return };
        let mut requests = Vec::new();
        if agent.heartbeat.is_none() && agent.next_heartbeat <= now.mono {
            requests.push(Request::Heartbeat(Box::new(core.heartbeat(
                now,
                HostFacts {
                    agent_version: "sim".to_owned(),
                    uptime_secs: now.mono.millis() / 1000,
                    trust_version: 1,
                    current_closure: agent.disk.running.clone(),
                    resources: ResourceCounts::default(),
                    awaiting: Vec::new(),
                },
            ))));
        }
        if agent.posting.is_none()
            && let Some(request) = core.next_post(now)
        {
            requests.push(Request::Events(request));
        }
        let may_poll = agent.polling.is_none() && agent.next_poll <= now.mono;
        if may_poll && agent.dispatch.is_none() && core.wants_dispatch(now.mono) {
            requests.push(Request::Poll);
        }
        let patience = agent.waiting.values().map(|(deadline, _)| *deadline).min();
        // A heartbeat that is under way is waited for; the next one is due after its answer.
        let heartbeat = agent.heartbeat.is_none().then_some(agent.next_heartbeat);
        let poll = Some(agent.next_poll).filter(|at| *at > now.mono);
        let wakeups = [core.next_wakeup(now.mono), heartbeat, patience, poll];
        let due = wakeups.into_iter().flatten().min().map(|at| at.millis_since(now.mono));
        for request in requests {
            self.send(host, request);
        }
        let delay =
            due.unwrap_or(LATEST_TICK_MILLIS).clamp(EARLIEST_TICK_MILLIS, LATEST_TICK_MILLIS);
        let tick = Event::AgentTick { host: host.clone() };
        if !self.has_tick_within(host, delay) {
            self.push(delay, tick);
        }
    }

    fn has_tick_within(&mut self, host: &HostName, delay: u64) -> bool {
        let until = self.now_millis + delay;
        let agent = self.agents.get_mut(host).unwrap();
        if agent.next_tick > self.now_millis && agent.next_tick <= until {
            return true;
        }
        agent.next_tick = until;
        false
    }

    fn send(&mut self, host: &HostName, request: Request) {
        self.numbers += 1;
        let (number, now) = (self.numbers, self.now());
        let agent = self.agents.get_mut(host).unwrap();
        match &request {
            Request::Heartbeat(_) => agent.heartbeat = Some(number),
            Request::Events(_) => agent.posting = Some(number),
            Request::Poll => agent.polling = Some((number, now.mono)),
            Request::Proof { .. } | Request::Offer { .. } => {}
        }
        let deadline = now.mono.plus_millis(request.patience_millis());
        let copies = 1 + usize::from(self.chance(self.faults.repeated_percent));
        for _ in 0..copies {
            if !self.chance(self.faults.lost_percent) {
                let delay = self.network_delay();
                let (host, request) = (host.clone(), request.clone());
                self.push(delay, Event::ToControlPlane { host, number, request });
            }
        }
        self.agents.get_mut(host).unwrap().waiting.insert(number, (deadline, request));
    }

    /// Requests that have waited for too long are answered by nobody.
    fn give_up(&mut self, host: &HostName, now: Now) {
        let agent = self.agents.get_mut(host).unwrap();
        let late = agent.waiting.iter().filter(|(_, (deadline, _))| *deadline <= now.mono);
        let late: Vec<u64> = late.map(|(number, _)| *number).collect();
        for number in late {
            self.answered(host, number, Response::Lost);
        }
    }

    pub(super) fn answered(&mut self, host: &HostName, number: u64, response: Response) {
        let now = self.now();
        let agent = self.agents.get_mut(host).unwrap();
        let Some((_, request)) = agent.waiting.remove(&number) else { return };
        let answer = match response {
            Response::Answer(answer) => Some(*answer),
            Response::Lost => None,
        };
        match request {
            Request::Heartbeat(_) => {
                agent.heartbeat = None;
                agent.next_heartbeat = now.mono.plus_secs(5);
                if let Some(Answer::Heartbeat(answer)) = answer {
                    agent.next_heartbeat = now.mono.plus_secs(answer.next_heartbeat_secs);
                    self.input(host, AgentInput::HeartbeatAnswered(*answer));
                }
            }
            Request::Poll => {
                let polled_at = agent.polling.take().map_or(now.mono, |(_, at)| at);
                if matches!(answer, Some(Answer::Problem(_))) {
                    agent.next_poll = now.mono.plus_secs(REFUSED_POLL_SECS);
                }
                if let Some(Answer::Dispatch(Some(dispatch))) = answer {
                    let rollout_id = dispatch.rollout_id.clone();
                    agent.dispatch = Some((*dispatch, polled_at));
                    self.send(host, Request::Proof { rollout_id, purpose: Purpose::Dispatch });
                }
            }
            Request::Events(request) => {
                agent.posting = None;
                let (rollout_id, journal_id) = (request.rollout_id, request.journal_id);
                let outcome = post_outcome(answer);
                self.input(host, AgentInput::EventsAnswered { rollout_id, journal_id, outcome });
            }
            Request::Proof { rollout_id, purpose } => {
                let plan = self.verify(host, answer);
                self.proof_fetched(host, rollout_id, &purpose, plan);
            }
            Request::Offer { rollout_id, .. } => {
                let taken = match answer {
                    Some(Answer::Offered) => OfferOutcome::Taken,
                    _ => OfferOutcome::NotTaken,
                };
                self.input(host, AgentInput::RolloutOffered { rollout_id, taken });
            }
        }
    }

    fn verify(
        &self,
        host: &HostName,
        answer: Option<Answer>,
    ) -> Option<Result<OfferedPlan, Rejection>> {
        let Some(Answer::Proof(proof)) = answer else { return None };
        let proof: RolloutProof = *proof;
        let context = VerifyContext { now: self.now().wall, ..self.kit.context(self.now().wall) };
        Some(match verify_rollout_proof(&proof, host, &context) {
            Ok(plan) => Ok(OfferedPlan { plan, proof, probes: Some(probes()) }),
            Err(violation) => Err(Rejection {
                reason: violation.code.to_string(),
                detail: Some(violation.detail),
            }),
        })
    }

    fn proof_fetched(
        &mut self,
        host: &HostName,
        rollout_id: wavegate_proto::ids::RolloutId,
        purpose: &Purpose,
        plan: Option<Result<OfferedPlan, Rejection>>,
    ) {
        let agent = self.agents.get_mut(host).unwrap();
        let current = agent.disk.running.clone();
        match purpose {
            Purpose::Dispatch => {
                let Some((dispatch, polled_at)) = agent.dispatch.take() else { return };
                // Without a plan the dispatch is let lapse, or asked for again.
                let Some(plan) = plan else { return };
                self.input(
                    host,
                    AgentInput::DispatchOffered { dispatch, polled_at, plan, current },
                );
            }
            Purpose::Bootstrap => {
                let plan = plan.unwrap_or_else(|| {
                    Err(Rejection { reason: "unknown-rollout".to_owned(), detail: None })
                });
                self.input(host, AgentInput::BootstrapPlan { rollout_id, plan, current });
            }
        }
    }
}

fn failed(class: FailureClass, reason: &str, changed: bool) -> ActivationOutcome {
    ActivationOutcome::Failed {
        class,
        reason: reason.to_owned(),
        exit_code: None,
        stderr_tail: None,
        changed,
    }
}

/// An effect without the bulk of what it carries.
fn brief(effect: &AgentEffect) -> String {
    if let AgentEffect::Append { rollout_id, entry, .. } = effect {
        return format!("append {rollout_id} {} {}", entry.seq, entry.event.kind());
    }
    format!("{effect:?}").chars().take(120).collect()
}
