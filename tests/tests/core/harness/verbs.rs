//! What hosts do, in the words of the domain.
//!
//! Not here: what can be read (see `reading`).

use wavegate_control_plane::core::{Answer, Input, Query};
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::event::{
    ActivationMethod, DeclaredProbe, Event, FailureClass, JournalEntry, ProbeOutcome,
};
use wavegate_proto::ids::{Attempt, ClosureId, JournalId, RolloutId, Seq};
use wavegate_proto::record::{HostState, ProbeKind, ProbeMode};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::{Dispatch, EventsRequest, HeartbeatAnswer, RolloutProof};
use wavegate_proto::wire::problem::Problem;

use super::{Cp, Host, Journal, name};

pub(crate) const PROBE: &str = "http";

fn topology() -> Event {
    let probe = DeclaredProbe {
        name: PROBE.parse().unwrap(),
        kind: ProbeKind::Http,
        mode: ProbeMode::Enforce,
    };
    Event::ProbeTopology { probes: vec![probe] }
}

fn probe_result(status: ProbeOutcome) -> Event {
    Event::ProbeResult {
        name: PROBE.parse().unwrap(),
        mode: ProbeMode::Enforce,
        status,
        reason: None,
        sub_results: Vec::new(),
    }
}

impl Cp {
    pub(crate) fn host(&mut self, host: &str) -> &mut Host {
        self.hosts.get_mut(&name(host)).unwrap()
    }

    pub(crate) fn goes_silent(&mut self, host: &str) {
        self.host(host).silent = true;
    }

    pub(crate) fn returns(&mut self, host: &str) {
        self.host(host).silent = false;
        self.report(host);
    }

    /// A heartbeat, and nothing of what its answer asks for.
    pub(crate) fn heartbeat(&mut self, host: &str) -> Result<HeartbeatAnswer, Problem> {
        let at = self.now().wall;
        let heartbeat = Box::new(self.host(host).heartbeat(at));
        let sender = name(host);
        let send =
            |reply| Input::Heartbeat { host: sender, heartbeat, cert_expires_at: None, reply };
        match self.send(send).unwrap() {
            Answer::Heartbeat(answer) => {
                let here = self.host(host);
                here.checkpoint = answer.checkpoint.or(here.checkpoint);
                here.marks = answer.marks.clone().or(here.marks.take());
                here.rejected.retain(|rejected| !answer.cleared.contains(rejected));
                Ok(*answer)
            }
            Answer::Problem(problem) => Err(*problem),
            other => panic!("{other:?}"),
        }
    }

    /// A heartbeat, and whatever its answer asks for.
    pub(crate) fn report(&mut self, host: &str) {
        let answer = self.heartbeat(host).unwrap();
        for (rollout, from) in answer.replay {
            self.replay(host, &rollout, from);
        }
    }

    /// Sends a journal again; offers its rollout first where the control plane has lost it.
    pub(crate) fn replay(&mut self, host: &str, rollout: &RolloutId, from: Seq) {
        let journal = self.host(host).journals[rollout].clone();
        let events = journal.entries.iter().filter(|e| e.seq >= from).cloned().collect::<Vec<_>>();
        match self.post(host, rollout, journal.id, true, events.clone()) {
            Ok(_) => {}
            Err(problem) if problem.code() == "unknown-rollout" => {
                self.offer(host, journal.proof.unwrap()).unwrap();
                self.post(host, rollout, journal.id, true, events).unwrap();
            }
            Err(problem) => panic!("{host} replays {rollout}: {problem:?}"),
        }
    }

    pub(crate) fn offer(&mut self, host: &str, proof: RolloutProof) -> Result<(), Problem> {
        let now = self.now().wall;
        let host = name(host);
        let plan = verify_rollout_proof(&proof, &host, &self.kit.context(now)).unwrap();
        let (plan, proof) = (Box::new(plan), Box::new(proof));
        match self.send(|reply| Input::OfferRollout { host, plan, proof, reply }).unwrap() {
            Answer::Offered => Ok(()),
            Answer::Problem(problem) => Err(*problem),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn post(
        &mut self,
        host: &str,
        rollout_id: &RolloutId,
        journal_id: JournalId,
        replay: bool,
        events: Vec<JournalEntry>,
    ) -> Result<Seq, Problem> {
        let (host, rollout_id) = (name(host), rollout_id.clone());
        let request = Box::new(EventsRequest { rollout_id, journal_id, replay, events });
        match self.send(|reply| Input::Events { host, request, reply }).unwrap() {
            Answer::Events(answer) => Ok(answer.last_seq),
            Answer::Problem(problem) => Err(*problem),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for a dispatch and does not wait for one.
    pub(crate) fn try_poll(&mut self, host: &str) -> Result<Option<Dispatch>, Problem> {
        let host = name(host);
        let polled = host.clone();
        match self.send(|reply| Input::Poll { host: polled, reply }) {
            Some(Answer::Dispatch(dispatch)) => Ok(dispatch.map(|d| *d)),
            Some(Answer::Problem(problem)) => Err(*problem),
            None => {
                let reply = wavegate_control_plane::core::Token(self.next);
                self.send(|_| Input::PollEnded { host, reply });
                Ok(None)
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn dispatch(&mut self, host: &str) -> Option<Dispatch> {
        self.try_poll(host).unwrap()
    }

    /// The hosts that have an open dispatch, in order.
    pub(crate) fn dispatched(&self) -> Vec<String> {
        self.disk.dispatches.keys().map(|(_, host)| host.to_string()).collect()
    }

    /// Fetches the dispatch and opens a journal for it, unless there is one.
    pub(crate) fn take_dispatch(&mut self, host: &str) -> Dispatch {
        let dispatch = self.dispatch(host).unwrap_or_else(|| panic!("{host} has a dispatch"));
        let rollout_id = dispatch.rollout_id.clone();
        let proof = self.proof(host, &rollout_id);
        let number = u128::from(self.fresh_number());
        let here = self.host(host);
        let journal = here.journals.entry(rollout_id.clone());
        journal.or_insert_with(|| Journal::new(number)).proof = Some(proof);
        here.at = Some(rollout_id);
        here.dispatch = Some(dispatch.clone());
        dispatch
    }

    fn proof(&mut self, host: &str, rollout_id: &RolloutId) -> RolloutProof {
        let query = Query::Proof { host: name(host), rollout_id: rollout_id.clone() };
        match self.send(|reply| Input::Query { query, reply }).unwrap() {
            Answer::Proof(proof) => *proof,
            other => panic!("{other:?}"),
        }
    }

    /// Journals an event in the rollout the host works on, and posts it.
    pub(crate) fn event(&mut self, host: &str, event: Event) -> Result<Seq, Problem> {
        let at = self.now().wall;
        self.event_at(host, at, event)
    }

    pub(crate) fn event_at(
        &mut self,
        host: &str,
        at: Timestamp,
        event: Event,
    ) -> Result<Seq, Problem> {
        let here = self.host(host);
        let rollout = here.at.clone().unwrap();
        let journal = here.journals.get_mut(&rollout).unwrap();
        let (id, entry) = (journal.id, journal.append(at, event));
        let answer = self.post(host, &rollout, id, false, vec![entry]);
        if let Err(problem) = &answer
            && let Some(seq) = problem.seq
        {
            self.host(host).journals.get_mut(&rollout).unwrap().note_refused(seq);
        }
        answer
    }

    pub(crate) fn ack_event(&mut self, host: &str, attempt: Attempt) -> Event {
        Event::DispatchAck { prior_closure: self.host(host).running.clone(), attempt }
    }

    /// Takes the dispatch and acknowledges it.
    pub(crate) fn ack(&mut self, host: &str) {
        let dispatch = self.take_dispatch(host);
        assert!(!dispatch.no_change, "{host} is to carry");
        let ack = self.ack_event(host, dispatch.attempt);
        self.event(host, ack).unwrap();
        self.event(host, Event::ActivationStarted { method: ActivationMethod::Bundle }).unwrap();
    }

    fn target(&self, host: &str) -> ClosureId {
        let rollout = self.hosts[&name(host)].at.as_ref().unwrap();
        self.core.fleet().placement(rollout, &name(host)).unwrap().entry.closure.clone()
    }

    pub(crate) fn soak_secs(&self, host: &str) -> u64 {
        let rollout = self.hosts[&name(host)].at.as_ref().unwrap();
        let wave = self.core.fleet().placement(rollout, &name(host)).unwrap().entry.wave;
        self.core.fleet().rollouts[rollout].soak_secs(wave)
    }

    /// From an acknowledged dispatch to soaking, its probes declared.
    pub(crate) fn activate(&mut self, host: &str) {
        let closure = self.target(host);
        self.host(host).running = Some(closure.clone());
        self.event(host, Event::ActivationComplete { closure, exit_code: 0, changed: true })
            .unwrap();
        self.event(host, topology()).unwrap();
    }

    pub(crate) fn probe(&mut self, host: &str, status: ProbeOutcome) {
        self.event(host, probe_result(status)).unwrap();
    }

    /// Soaking and healthy for as long as its wave says.
    pub(crate) fn settle(&mut self, host: &str) {
        self.probe(host, ProbeOutcome::Pass);
        let (closure, soaked_secs) = (self.target(host), self.soak_secs(host));
        self.event(host, Event::Converged { closure, soaked_secs }).unwrap();
    }

    /// From a dispatch to converged; carries where nothing changes.
    pub(crate) fn converge(&mut self, host: &str) {
        if self.dispatch(host).unwrap_or_else(|| panic!("{host} has a dispatch")).no_change {
            return self.carry(host);
        }
        self.ack(host);
        self.activate(host);
        self.settle(host);
    }

    pub(crate) fn carry(&mut self, host: &str) {
        let from_rollout = self.host(host).at.clone().unwrap();
        self.take_dispatch(host);
        let Event::ProbeTopology { probes } = topology() else { unreachable!() };
        let closure = self.target(host);
        self.event(host, Event::Carried { closure, from_rollout, probes }).unwrap();
        self.probe(host, ProbeOutcome::Pass);
    }

    /// From soaking to failed, by its probe.
    pub(crate) fn fail_health(&mut self, host: &str) {
        self.probe(host, ProbeOutcome::Fail);
        let rollout = self.host(host).at.clone().unwrap();
        let policy = self.core.fleet().rollouts[&rollout].policy().clone();
        let failed = Event::Failed {
            failing_probes: vec![PROBE.parse().unwrap()],
            sustained_secs: policy.failure_threshold_secs,
            policy: policy.on_health_failure,
        };
        self.event(host, failed).unwrap();
    }

    /// From a dispatch to failed, by its probe. What follows is [`Self::roll_back`].
    pub(crate) fn fail(&mut self, host: &str) {
        self.ack(host);
        self.activate(host);
        self.fail_health(host);
    }

    pub(crate) fn roll_back(&mut self, host: &str) {
        let rollout = self.host(host).at.clone().unwrap();
        let placement = self.core.fleet().placement(&rollout, &name(host)).unwrap();
        let closure = placement.record.prior_closure.clone();
        self.host(host).running = closure.clone();
        self.event(host, Event::RollbackComplete { closure, exit_code: 0 }).unwrap();
    }

    /// From a dispatch to failed, for a reason that is not the closure's; nothing was changed.
    pub(crate) fn fail_infra(&mut self, host: &str) {
        self.ack(host);
        let failed = Event::ActivationFailed {
            class: FailureClass::Network,
            reason: "registry is down".to_owned(),
            exit_code: None,
            stderr_tail: None,
            changed: false,
        };
        self.event(host, failed).unwrap();
        self.roll_back(host);
    }

    pub(crate) fn degrade(&mut self, host: &str) {
        self.probe(host, ProbeOutcome::Fail);
        let failing_probes = vec![PROBE.parse().unwrap()];
        self.event(host, Event::Degraded { failing_probes }).unwrap();
    }

    /// Converges every host that can be dispatched, wave after wave.
    pub(crate) fn converge_all(&mut self) {
        loop {
            let ready = self.dispatched();
            if ready.is_empty() {
                return;
            }
            for host in ready {
                self.converge(&host);
            }
        }
    }

    pub(crate) fn state(&self, host: &str) -> HostState {
        self.core.fleet().newest(&name(host)).unwrap().1.record.state
    }
}
