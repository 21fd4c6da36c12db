//! A host that does as it is told, and remembers what it did.

use std::collections::BTreeMap;

use uuid::Uuid;
use wavegate_proto::canonical::chain_journal;
use wavegate_proto::event::{ActivationMethod, DeclaredProbe, Event, JournalEntry, ProbeOutcome};
use wavegate_proto::ids::{BootId, ClosureId, JournalId, RolloutId, Seq, Serial, Sha256Hash};
use wavegate_proto::record::{ProbeKind, ProbeMode};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::{
    Dispatch, EventsRequest, Heartbeat, JournalHead, ProbeCounts, ResourceCounts, RolloutProof,
};

const PROBE: &str = "http";

/// A host.
pub(super) struct Host {
    boot_id: BootId,
    running: Option<ClosureId>,
    pub(super) journals: BTreeMap<RolloutId, Journal>,
}

/// What it did in one rollout.
pub(super) struct Journal {
    id: JournalId,
    pub(super) entries: Vec<JournalEntry>,
    head: Sha256Hash,
    /// With which it can offer the rollout.
    pub(super) proof: RolloutProof,
}

impl Host {
    pub(super) fn new(number: u128) -> Self {
        let boot_id = BootId(Uuid::from_u128(number));
        Self { boot_id, running: None, journals: BTreeMap::new() }
    }

    /// What most of the fleet sends most of the time.
    pub(super) fn heartbeat(&self, at: Timestamp) -> Heartbeat {
        Heartbeat {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.boot_id,
            uptime_secs: 86_400,
            at,
            cp_epoch: None,
            checkpoint: None,
            serial: Serial(1),
            trust_version: None,
            current_closure: self.running.clone(),
            marks_version: 0,
            marks: None,
            rollouts: self.journals.iter().map(|(id, j)| (id.clone(), j.head())).collect(),
            rejected: Vec::new(),
            probes: ProbeCounts { pass: 1, fail: 0, unknown: 0 },
            resources: ResourceCounts { completed: 12, ..ResourceCounts::default() },
            awaiting: Vec::new(),
        }
    }

    /// From the dispatch to soaking with a passing probe: the events, as one request.
    pub(super) fn activate(
        &mut self,
        dispatch: &Dispatch,
        proof: RolloutProof,
        at: Timestamp,
    ) -> EventsRequest {
        let prior_closure = self.running.replace(dispatch.target_closure.clone());
        self.journals.insert(dispatch.rollout_id.clone(), Journal::new(proof));
        let closure = dispatch.target_closure.clone();
        let events = [
            Event::DispatchAck { prior_closure, attempt: dispatch.attempt },
            Event::ActivationStarted { method: ActivationMethod::Switch },
            Event::ActivationComplete { closure, exit_code: 0, changed: true },
            topology(),
            probe_result(ProbeOutcome::Pass),
        ];
        self.report(&dispatch.rollout_id, events, at)
    }

    /// Has soaked.
    pub(super) fn converge(
        &mut self,
        rollout: &RolloutId,
        soaked_secs: u64,
        at: Timestamp,
    ) -> EventsRequest {
        let closure = self.running.clone().unwrap();
        self.report(rollout, [Event::Converged { closure, soaked_secs }], at)
    }

    /// Its probe changes its mind.
    pub(super) fn probe(&mut self, rollout: &RolloutId, at: Timestamp) -> EventsRequest {
        let passes = self.journals[rollout].entries.len().is_multiple_of(2);
        let outcome = if passes { ProbeOutcome::Pass } else { ProbeOutcome::Fail };
        self.report(rollout, [probe_result(outcome)], at)
    }

    /// Everything it did in a rollout, once more.
    pub(super) fn replay(&self, rollout: &RolloutId, from: Seq) -> EventsRequest {
        let journal = &self.journals[rollout];
        EventsRequest {
            rollout_id: rollout.clone(),
            journal_id: journal.id,
            replay: true,
            events: journal.entries.iter().filter(|entry| entry.seq >= from).cloned().collect(),
        }
    }

    fn report<const N: usize>(
        &mut self,
        rollout: &RolloutId,
        events: [Event; N],
        at: Timestamp,
    ) -> EventsRequest {
        let journal = self.journals.get_mut(rollout).unwrap();
        let mut posted = Vec::with_capacity(N);
        for event in events {
            let entry = JournalEntry { seq: journal.last_seq().next(), at, event };
            journal.head = chain_journal(&journal.head, &entry);
            journal.entries.push(entry.clone());
            posted.push(entry);
        }
        EventsRequest {
            rollout_id: rollout.clone(),
            journal_id: journal.id,
            replay: false,
            events: posted,
        }
    }
}

impl Journal {
    fn new(proof: RolloutProof) -> Self {
        let id = JournalId(Uuid::new_v4());
        Self { id, entries: Vec::new(), head: Sha256Hash::default(), proof }
    }

    fn last_seq(&self) -> Seq {
        self.entries.last().map_or(Seq(0), |entry| entry.seq)
    }

    fn head(&self) -> JournalHead {
        JournalHead {
            journal_id: self.id,
            first_seq: Seq(1),
            last_seq: self.last_seq(),
            head: self.head,
        }
    }
}

fn topology() -> Event {
    let (kind, mode) = (ProbeKind::Http, ProbeMode::Enforce);
    Event::ProbeTopology {
        probes: vec![DeclaredProbe { name: PROBE.parse().unwrap(), kind, mode }],
    }
}

fn probe_result(status: ProbeOutcome) -> Event {
    let reason = (status == ProbeOutcome::Fail).then(|| "expected 200, got 503".to_owned());
    let (name, mode) = (PROBE.parse().unwrap(), ProbeMode::Enforce);
    Event::ProbeResult { name, mode, status, reason, sub_results: Vec::new() }
}
