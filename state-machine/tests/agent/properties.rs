//! Random inputs, restarts among them: whatever comes, nothing starts without a verified plan and an
//! acknowledgement accepted in time, and nothing converges that was not seen to pass.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wavegate_proto::event::{Event, FailureClass, ProbeOutcome};
use wavegate_proto::ids::{RolloutId, Seq};
use wavegate_proto::record::ProbeStatus;
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::Dispatch;
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentEffect, AgentInput, OfferOutcome, PostOutcome, Rejection,
};

use crate::host::{Host, LEASE_SECS};
use crate::plans::{Release, closure, release};

/// One thing that happens, with two numbers that vary it.
type Happening = (u8, u8, u8);

struct World {
    host: Host,
    releases: Vec<Release>,
    /// When each lease that was acknowledged ends, and what may start under it.
    leases: BTreeMap<RolloutId, (Mono, bool)>,
    /// Rollouts whose enforce probe's last word in this process is a pass.
    passed: BTreeSet<RolloutId>,
}

impl World {
    fn new() -> Self {
        let mut halting = release("r2", 2, "b");
        halting.policy = "halt";
        Self {
            host: Host::new(),
            releases: vec![release("r1", 1, "a"), halting, release("r3", 3, "a")],
            leases: BTreeMap::new(),
            passed: BTreeSet::new(),
        }
    }

    fn happens(&mut self, (what, which, twist): Happening) {
        let release = self.releases[usize::from(which) % self.releases.len()].clone();
        let id = release.id();
        match what % 12 {
            0 | 1 => self.offer(&release, twist),
            2 | 3 => self.post(twist),
            4 => {
                let secs = [1, 7, 31, LEASE_SECS][usize::from(twist) % 4];
                self.host.advance(secs);
            }
            5 => self.host.activated(&release),
            6 | 7 => {
                let pass = twist % 3 != 0;
                let outcome = if pass { ProbeOutcome::Pass } else { ProbeOutcome::Fail };
                if pass {
                    self.passed.insert(id);
                } else {
                    self.passed.remove(&id);
                }
                self.host.probe(&release, "http", outcome);
            }
            8 => {
                self.passed.clear();
                self.forget_leases();
                self.host.restart();
            }
            9 => {
                let (class, changed) = (FailureClass::Host, twist % 2 == 0);
                let outcome = ActivationOutcome::Failed {
                    class,
                    reason: "x".to_owned(),
                    exit_code: None,
                    stderr_tail: None,
                    changed,
                };
                self.host.input(AgentInput::ActivationEnded { rollout_id: id, outcome });
            }
            10 => {
                let prior = self.host.core.records().find(|r| r.rollout_id == id);
                let prior = prior.and_then(|record| record.prior_closure.clone());
                self.host.rolled_back(&release, prior);
            }
            _ => self.host.heartbeat_answered(|answer| {
                if twist % 2 == 0 {
                    answer.replay.insert(id, Seq(u64::from(twist) / 16));
                } else {
                    answer.new_journal = vec![id];
                }
            }),
        }
    }

    /// The deadline dies with the process that read the dispatch.
    fn forget_leases(&mut self) {
        for (_, unstarted) in self.leases.values_mut() {
            *unstarted = false;
        }
    }

    fn offer(&mut self, release: &Release, twist: u8) {
        let attempt = self.host.core.records().find(|r| r.rollout_id == release.id());
        let attempt = attempt.map_or(0, |record| record.attempt.0) + 1;
        let mut dispatch = self.host.dispatch(release, attempt);
        let plan = match twist % 5 {
            0 => Err(Rejection { reason: "stale".to_owned(), detail: None }),
            1 => {
                dispatch.target_closure = closure("evil");
                Ok(release.offered())
            }
            2 => {
                dispatch = Dispatch { no_change: true, ..dispatch };
                Ok(release.offered())
            }
            _ => Ok(release.offered()),
        };
        let verified = plan.is_ok();
        let before = self.host.kinds(release).len();
        self.host.offer_with(dispatch, plan);
        let acknowledged = self.host.kinds(release).len() > before
            && self.host.last_kind(release) == "dispatch_ack";
        if acknowledged {
            assert!(verified);
            self.leases.insert(release.id(), (self.host.mono.plus_secs(LEASE_SECS), true));
        }
    }

    fn post(&mut self, twist: u8) {
        let Some(request) = self.host.post() else { return };
        let (first, last_seq) = (request.events[0].seq, request.events.last().unwrap().seq);
        let outcome = match twist % 8 {
            0 => PostOutcome::Unavailable,
            1 => {
                PostOutcome::Refused { seq: first, reason: "no-lease".to_owned(), last_seq: first }
            }
            2 => PostOutcome::Gap { expected: Seq(1) },
            3 => PostOutcome::JournalReplaced,
            4 => PostOutcome::UnknownRollout,
            _ => PostOutcome::Accepted { last_seq },
        };
        let accepted = matches!(outcome, PostOutcome::Accepted { .. });
        let rollout_id = request.rollout_id.clone();
        self.host.told.clear();
        self.host.answer(&request, outcome);
        let starts = self.host.told.iter().any(|e| matches!(e, AgentEffect::Activate { .. }));
        if starts {
            let acknowledges =
                request.events.iter().any(|e| matches!(e.event, Event::DispatchAck { .. }));
            let (deadline, unstarted) = self.leases.remove(&rollout_id).unwrap();
            self.passed.remove(&rollout_id);
            assert!(
                accepted && acknowledges && unstarted,
                "started without an accepted acknowledgement"
            );
            assert!(self.host.mono < deadline, "started after the lease");
        }
        let taken = OfferOutcome::Taken;
        self.host.input(AgentInput::RolloutOffered { rollout_id, taken });
    }

    fn check(&mut self, before: &BTreeMap<RolloutId, usize>) {
        for effect in &self.host.told {
            if let AgentEffect::Activate { rollout_id, closure: named, .. } = effect {
                self.passed.remove(rollout_id);
                let release = self.releases.iter().find(|r| r.id() == *rollout_id).unwrap();
                assert_eq!(*named, closure(release.closure), "the plan names something else");
            }
        }
        for release in &self.releases {
            let kinds = self.host.kinds(release);
            let seen = before.get(&release.id()).copied().unwrap_or(0).min(kinds.len());
            if kinds[seen..].contains(&"converged") && !kinds[seen..].contains(&"journal_opened") {
                assert!(
                    self.passed.contains(&release.id()),
                    "converged, and no probe of this process has passed"
                );
                let record = self.host.record(release);
                let enforced = || record.probes.iter().filter(|p| p.is_enforced());
                assert!(enforced().all(|p| p.status == ProbeStatus::Pass));
            }
        }
        self.host.told.clear();
    }

    fn lengths(&self) -> BTreeMap<RolloutId, usize> {
        self.releases.iter().map(|r| (r.id(), self.host.kinds(r).len())).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_starts_or_converges_without_its_evidence(
        happenings in prop::collection::vec(any::<Happening>(), 1..120),
    ) {
        let mut world = World::new();
        for happening in happenings {
            let before = world.lengths();
            world.happens(happening);
            world.check(&before);
        }
    }

    /// A restart changes nothing of what the agent knows.
    #[test]
    fn the_journal_is_the_truth(happenings in prop::collection::vec(any::<Happening>(), 1..80)) {
        let mut world = World::new();
        for happening in happenings {
            world.happens(happening);
        }
        // Let a restart settle what it settles, then compare two of them.
        world.host.restart();
        let settled: Vec<_> = world.host.core.records().cloned().collect();
        let heads = world.host.heartbeat().rollouts;
        world.host.restart();
        let again: Vec<_> = world.host.core.records().cloned().collect();
        prop_assert_eq!(again, settled);
        prop_assert_eq!(world.host.heartbeat().rollouts, heads);
    }
}
