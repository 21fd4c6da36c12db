//! What a modelled host says: heartbeats from what the core knows of it, and the events of each step of an
//! activation. The core's own fold judges them, as it does those of real hosts.
//!
//! Not here: when a step is taken (see [`super::run`]).

use uuid::Uuid;
use wavegate_proto::event::{
    ActivationMethod, DeclaredProbe, Event, FailurePolicy, JournalEntry, ProbeOutcome,
};
use wavegate_proto::ids::{
    Attempt, BootId, ClosureId, HostName, JournalId, ProbeName, RolloutId, Seq,
};
use wavegate_proto::record::{HostRecord, HostState, ProbeKind, ProbeMode, ProbeStatus};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat, JournalHead, ProbeCounts};
use wavegate_reconciler::fleet::Fleet;
use wavegate_reconciler::fleet::placement::Placement;
use wavegate_reconciler::fleet::rollout::Rollout;
use wavegate_state_machine::host::JournalBook;

/// A host.
#[derive(Debug, Clone)]
pub(super) struct ModelHost {
    pub(super) name: HostName,
    /// Whether it sends heartbeats.
    pub(super) up: bool,
    /// What it runs.
    pub(super) running: Option<ClosureId>,
    number: u128,
}

/// A step of a host that is being worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is through with the activation; its probe then passes or fails.
    Activate {
        /// Whether it fails.
        fails: bool,
    },
    /// It has soaked.
    Converge,
    /// Its probe has failed for as long as the policy tolerates.
    Fail,
    /// It is back on what it ran before.
    RollBack,
}

impl ModelHost {
    pub(super) fn new(number: usize, name: HostName, up: bool, running: Option<ClosureId>) -> Self {
        let number = u128::try_from(number).unwrap_or(u128::MAX);
        Self { name, up, running, number }
    }

    /// A heartbeat that tells nothing new: the journals stand where the core has them.
    pub(super) fn heartbeat(&self, fleet: &Fleet, at: Timestamp) -> Heartbeat {
        let head = |journal: &JournalBook| {
            let (last_seq, head) = (journal.last_seq(), journal.head());
            Some(JournalHead {
                journal_id: journal.journal_id()?,
                first_seq: Seq(1),
                last_seq,
                head,
            })
        };
        let rollouts = fleet.records(&self.name).filter_map(|(rollout, placement)| {
            Some((rollout.id.clone(), head(&placement.journal)?))
        });
        let live = fleet.hosts.get(&self.name).map(|host| &host.liveness);
        Heartbeat {
            agent_version: live.and_then(|live| live.agent_version.clone()).unwrap_or_default(),
            boot_id: live
                .and_then(|live| live.boot_id)
                .unwrap_or(BootId(Uuid::from_u128(self.number))),
            uptime_secs: live.map_or(0, |live| live.uptime_secs),
            at,
            cp_epoch: None,
            checkpoint: None,
            serial: wavegate_proto::ids::Serial(0),
            trust_version: None,
            current_closure: self.running.clone(),
            // It keeps whatever there is, and need not be told.
            marks_version: u64::MAX,
            marks: None,
            rollouts: rollouts.collect(),
            rejected: Vec::new(),
            probes: ProbeCounts::default(),
            resources: live.map(|live| live.resources).unwrap_or_default(),
            awaiting: Vec::new(),
        }
    }

    /// The next entries of its journal in a rollout. The journal goes on where the core has it.
    pub(super) fn journal(
        &self,
        fleet: &Fleet,
        rollout_id: &RolloutId,
        at: Timestamp,
        events: Vec<Event>,
    ) -> Option<EventsRequest> {
        let placement = fleet.placement(rollout_id, &self.name)?;
        // One journal a host and rollout: the order of opening keeps their numbers apart.
        let order = u128::from(fleet.rollouts.get(rollout_id)?.order);
        let fresh = JournalId(Uuid::from_u128((order << 64) | self.number));
        let known = placement.journal.journal_id();
        let last = known.map_or(0, |_| placement.journal.last_seq().0);
        let entries = (last + 1..).zip(events);
        Some(EventsRequest {
            rollout_id: rollout_id.clone(),
            journal_id: known.unwrap_or(fresh),
            replay: false,
            events: entries.map(|(seq, event)| JournalEntry { seq: Seq(seq), at, event }).collect(),
        })
    }

    /// Takes a dispatch that changes something.
    pub(super) fn acknowledge(&self, attempt: Attempt) -> Vec<Event> {
        vec![
            Event::DispatchAck { prior_closure: self.running.clone(), attempt },
            Event::ActivationStarted { method: ActivationMethod::Bundle },
        ]
    }
}

/// Nothing changes for a host in `rollout_id`; its probes go on passing.
pub(super) fn carry(fleet: &Fleet, host: &HostName, rollout_id: &RolloutId) -> Option<Vec<Event>> {
    let earlier = |(rollout, placement): &(&Rollout, &Placement)| {
        rollout.id != *rollout_id && placement.record.state == HostState::Converged
    };
    let (from, before) = fleet.records(host).find(earlier)?;
    let known = &before.record.probes;
    let probes = known.iter().map(|probe| DeclaredProbe {
        name: probe.name.clone(),
        kind: probe.kind,
        mode: probe.mode,
    });
    let carried = Event::Carried {
        closure: before.record.target_closure.clone(),
        from_rollout: from.id.clone(),
        probes: probes.collect(),
    };
    let passes =
        known.iter().map(|probe| result(probe.name.clone(), probe.mode, ProbeOutcome::Pass));
    Some([carried].into_iter().chain(passes).collect())
}

/// The host runs its target, and its probe has reported.
pub(super) fn activated(record: &HostRecord, fails: bool) -> Vec<Event> {
    let closure = record.target_closure.clone();
    let outcome = if fails { ProbeOutcome::Fail } else { ProbeOutcome::Pass };
    let complete = Event::ActivationComplete { closure, exit_code: 0, changed: true };
    [complete].into_iter().chain(modelled_probe(outcome)).collect()
}

/// What a host that was soaking already still has to report before it may converge.
pub(super) fn unreported_passes(record: &HostRecord) -> Vec<Event> {
    if !record.topology_known {
        return modelled_probe(ProbeOutcome::Pass);
    }
    let unknown = record.probes.iter().filter(|probe| probe.status == ProbeStatus::Unknown);
    unknown.map(|probe| result(probe.name.clone(), probe.mode, ProbeOutcome::Pass)).collect()
}

/// The host has soaked for `soaked_secs`.
pub(super) fn converged(record: &HostRecord, soaked_secs: u64) -> Vec<Event> {
    vec![Event::Converged { closure: record.target_closure.clone(), soaked_secs }]
}

/// Its probes have failed for `sustained_secs`.
pub(super) fn failed(
    record: &HostRecord,
    sustained_secs: u64,
    policy: FailurePolicy,
) -> Vec<Event> {
    let failing = record.failing_enforce_probes().map(|probe| probe.name.clone());
    vec![Event::Failed { failing_probes: failing.collect(), sustained_secs, policy }]
}

/// It is back on what it ran before.
pub(super) fn rolled_back(record: &HostRecord) -> Vec<Event> {
    vec![Event::RollbackComplete { closure: record.prior_closure.clone(), exit_code: 0 }]
}

fn result(name: ProbeName, mode: ProbeMode, status: ProbeOutcome) -> Event {
    Event::ProbeResult { name, mode, status, reason: None, sub_results: Vec::new() }
}

/// The one probe of a modelled host, declared and reported.
fn modelled_probe(outcome: ProbeOutcome) -> Vec<Event> {
    let Ok(name) = "modelled".parse::<ProbeName>() else { return Vec::new() };
    let mode = ProbeMode::Enforce;
    let probe = DeclaredProbe { name: name.clone(), kind: ProbeKind::Exec, mode };
    vec![Event::ProbeTopology { probes: vec![probe] }, result(name, mode, outcome)]
}
