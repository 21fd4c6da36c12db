//! What has come about, told to the core.
//!
//! Not here: what the core makes of it (`wavegate_state_machine::agent`).

use std::time::Duration;

use tokio::time::Instant;
use wavegate_agent::client::ClientError;
use wavegate_agent::clock;
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext};
use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::ids::{ClosureId, RolloutId};
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::{
    Dispatch, EventsAnswer, EventsRequest, HeartbeatAnswer, RolloutProof,
};
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentInput, OfferOutcome, OfferedPlan, PostOutcome, ProbeSchedule,
    Rejection, RollbackOutcome,
};

use super::super::requests::{Happened, Work, after};
use super::{Host, POLL_DISTANCE};

impl Host {
    pub(super) fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Heartbeat { took, answer } => self.heartbeat_answered(took, answer),
            Happened::Poll { polled_at, answer } => {
                self.poll.under_way = false;
                self.poll.due = Instant::now() + POLL_DISTANCE;
                match answer {
                    Ok(None) => self.backoff.reset(),
                    Ok(Some(dispatch)) => {
                        let given = (dispatch.rollout_id.clone(), dispatch.attempt);
                        if self.given.as_ref() != Some(&given) {
                            self.shared.figures.dispatched(&given.0, dispatch.wave);
                            self.given = Some(given);
                        }
                        self.dispatching = true;
                        let dispatch = Box::new(dispatch);
                        let line = self.line();
                        self.doing.push(line.proof(dispatch, polled_at));
                    }
                    Err(error) => self.poll.due = Instant::now() + self.wait_after(&error),
                }
            }
            Happened::Events { took, request, answer } => self.posted(took, request, answer),
            Happened::Proof { dispatch, polled_at, answer } => {
                self.proof_fetched(*dispatch, polled_at, answer);
            }
            Happened::Bootstrap { rollout_id, answer } => self.bootstrapped(rollout_id, answer),
            Happened::Closure { generation, answer } => self.closure_fetched(generation, answer),
            Happened::Offered { rollout_id, answer } => {
                let taken = match &answer {
                    Ok(()) => OfferOutcome::Taken,
                    Err(error) => {
                        self.count(error);
                        OfferOutcome::NotTaken
                    }
                };
                self.input(AgentInput::RolloutOffered { rollout_id, taken });
            }
            Happened::WorkDone { generation } => self.work_done(generation),
            Happened::ProbeDue { generation, index } => self.probe(generation, index),
        }
    }

    fn heartbeat_answered(&mut self, took: Duration, answer: Result<HeartbeatAnswer, ClientError>) {
        self.heartbeat.under_way = false;
        match answer {
            Ok(answer) => {
                self.backoff.reset();
                self.shared.figures.heartbeat(took);
                if std::mem::take(&mut self.in_storm) {
                    self.shared.figures.heard_after_the_storm();
                }
                self.settle_in(&answer);
                self.input(AgentInput::HeartbeatAnswered(answer));
                let interval = Duration::from_secs(self.core.next_heartbeat_secs());
                let wait = self.pace.after_answer(interval, self.rng.f64());
                self.heartbeat.due = Instant::now() + wait;
            }
            Err(error) => {
                self.pace.missed();
                self.heartbeat.due = Instant::now() + self.wait_after(&error);
            }
        }
    }

    fn posted(
        &mut self,
        took: Duration,
        request: EventsRequest,
        answer: Result<EventsAnswer, ClientError>,
    ) {
        self.post = super::Turn { under_way: false, due: Instant::now() };
        let outcome = match answer {
            Ok(answer) => {
                self.shared.figures.posted(took, request.events.len());
                PostOutcome::Accepted { last_seq: answer.last_seq }
            }
            Err(error) => match error.problem().and_then(PostOutcome::of_problem) {
                Some(outcome) => {
                    self.count(&error);
                    outcome
                }
                None => {
                    let wait = self.wait_after(&error);
                    self.post.due += wait;
                    PostOutcome::Unavailable
                }
            },
        };
        let EventsRequest { rollout_id, journal_id, .. } = request;
        self.input(AgentInput::EventsAnswered { rollout_id, journal_id, outcome });
    }

    fn proof_fetched(
        &mut self,
        dispatch: Dispatch,
        polled_at: Mono,
        answer: Result<RolloutProof, ClientError>,
    ) {
        self.dispatching = false;
        match answer {
            Ok(proof) => {
                let floor = self.serial_floor();
                let plan = self.verified(proof, floor, Freshness::Enforced);
                let current = self.disk.running.clone();
                self.input(AgentInput::DispatchOffered { dispatch, polled_at, plan, current });
            }
            // Without a plan the dispatch is asked for again, or lapses.
            Err(error) => self.count(&error),
        }
    }

    fn bootstrapped(
        &mut self,
        rollout_id: RolloutId,
        answer: Result<(RolloutProof, Vec<u8>), ClientError>,
    ) {
        let plan = match answer {
            Ok((proof, document)) => {
                if let Ok(bundle) = Bundle::parse(&document) {
                    self.probes = ProbeSchedule::of(&bundle);
                }
                self.verified(proof, SerialFloor::default(), Freshness::Ignored)
            }
            Err(error) => {
                self.count(&error);
                Err(Rejection { reason: "fetch-failed".to_owned(), detail: None })
            }
        };
        let current = self.disk.running.clone();
        self.input(AgentInput::BootstrapPlan { rollout_id, plan, current });
    }

    fn verified(
        &self,
        proof: RolloutProof,
        floor: SerialFloor,
        freshness: Freshness,
    ) -> Result<OfferedPlan, Rejection> {
        let (trust, now) = (&self.shared.trust, clock::wall());
        let context = VerifyContext { trust, now, floor, freshness };
        let plan = verify_rollout_proof(&proof, &self.name, &context).map_err(|violation| {
            let reason = violation.code.as_str().to_owned();
            Rejection { reason, detail: Some(violation.detail) }
        })?;
        if matches!(plan.entry.closure, ClosureId::StorePath(_)) {
            return Err(Rejection { reason: "unsupported-backend".to_owned(), detail: None });
        }
        // A swarm pretends to have in its cache whatever it runs.
        let at_hand = self.disk.running.as_ref() == Some(&plan.entry.closure);
        let probes = at_hand.then(|| self.probes.clone());
        Ok(OfferedPlan { plan, proof, probes })
    }

    /// A swarm that comes upon a fleet goes on where the control plane knows its hosts to be, as after a
    /// lost journal: there was no system that it could have lost with it.
    fn settle_in(&mut self, answer: &HeartbeatAnswer) {
        let newest = answer.bootstrap.iter().max_by_key(|snapshot| snapshot.state_since);
        if let Some(snapshot) = newest.filter(|_| self.core.records().next().is_none()) {
            self.disk.running.clone_from(&snapshot.current_closure);
            self.found.clone_from(&snapshot.current_closure);
        }
    }

    fn serial_floor(&self) -> SerialFloor {
        let meta = &self.disk.meta;
        SerialFloor { serial: meta.serial, fleet_sha256: meta.fleet_sha256 }
    }

    fn closure_fetched(&mut self, generation: u64, answer: Result<Vec<u8>, ClientError>) {
        if generation != self.generation {
            return;
        }
        match answer.map(|bytes| Bundle::parse(&bytes)) {
            Ok(Ok(bundle)) => {
                self.probes = ProbeSchedule::of(&bundle);
                self.take_time();
            }
            Ok(Err(_)) => self.shared.figures.error("closure that is no bundle"),
            Err(error) => {
                let wait = self.wait_after(&error);
                if let Some(Work::Activating { closure: ClosureId::Bundle(blob), .. }) = self.work {
                    let line = self.line();
                    let again = line.closure(blob, generation);
                    self.doing.push(Box::pin(async move {
                        tokio::time::sleep(wait).await;
                        again.await
                    }));
                }
            }
        }
    }

    fn work_done(&mut self, generation: u64) {
        if generation != self.generation {
            return;
        }
        match self.work.take() {
            Some(Work::Activating { rollout_id, closure }) => {
                let changed = self.disk.running.as_ref() != Some(&closure);
                self.disk.running = Some(closure);
                let probes = self.probes.clone();
                let outcome = ActivationOutcome::Complete { exit_code: 0, changed, probes };
                self.input(AgentInput::ActivationEnded { rollout_id, outcome });
            }
            Some(Work::RollingBack { rollout_id, to }) => {
                self.disk.running.clone_from(&to);
                let outcome = RollbackOutcome::Complete { closure: to, exit_code: 0 };
                self.input(AgentInput::RollbackEnded { rollout_id, outcome });
            }
            None => {}
        }
    }

    fn probe(&mut self, generation: u64, index: usize) {
        if generation != self.probing_generation {
            return;
        }
        let Some((rollout_id, probes)) = &self.probing else { return };
        let (rollout_id, probe) = (rollout_id.clone(), &probes[index]);
        let next = Duration::from_secs(probe.interval_secs);
        let name = probe.declared.name.clone();
        let runs = self.disk.running.as_ref();
        let healthy = runs.is_some_and(|closure| {
            self.found.as_ref() == Some(closure)
                || self.shared.behaviour.is_healthy(&self.name, closure)
        });
        let outcome = if healthy { ProbeOutcome::Pass } else { ProbeOutcome::Fail };
        let reason = (!healthy).then(|| "pretended".to_owned());
        self.doing.push(after(next, Happened::ProbeDue { generation, index }));
        let sub_results = Vec::new();
        self.input(AgentInput::ProbeReported { rollout_id, name, outcome, reason, sub_results });
    }

    fn count(&self, error: &ClientError) {
        self.shared.figures.error(error.code().unwrap_or("unreachable"));
    }

    /// Counts an answer that is none, and says how long to wait.
    fn wait_after(&mut self, error: &ClientError) -> Duration {
        self.count(error);
        self.backoff.after_error(error)
    }
}
