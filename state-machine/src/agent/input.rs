//! What can happen to an agent: everything its shell tells the core.
//!
//! Not here: what the core makes of it.

use std::collections::BTreeMap;

use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::artifact::proof::HostPlan;
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::event::{
    DeclaredProbe, Event, FailureClass, JournalEntry, ProbeOutcome, SubResult,
};
use wavegate_proto::ids::{
    BlobId, BootId, ClosureId, CpEpoch, HostName, JournalId, ProbeName, RolloutId, Seq, Serial,
    Sha256Hash,
};
use wavegate_proto::record::HostRecord;
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::{
    Checkpoint, Dispatch, HeartbeatAnswer, Marks, Rejected, ResourceCounts, ResourceRef,
    RolloutProof,
};
use wavegate_proto::wire::problem::{Problem, ProblemCode};

use super::one_way::OneWay;

/// Makes journal ids. The core uses no randomness of its own.
pub trait JournalIds {
    /// A journal id never used before.
    fn next_id(&mut self) -> JournalId;
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum AgentInput {
    /// The control plane offers a dispatch, and the shell has fetched and verified its plan.
    DispatchOffered {
        /// The dispatch.
        dispatch: Dispatch,
        /// When the poll that returned it was sent (G4).
        polled_at: Mono,
        /// The verified plan, or the rule it broke.
        plan: Result<OfferedPlan, Rejection>,
        /// What the host runs, read from the system now.
        current: Option<ClosureId>,
    },
    /// The answer to an [`wavegate_proto::wire::agent::EventsRequest`] made by the core.
    EventsAnswered {
        /// The request's rollout.
        rollout_id: RolloutId,
        /// The request's journal.
        journal_id: JournalId,
        /// The answer.
        outcome: PostOutcome,
    },
    /// The answer to the offer of a header, see [`super::AgentEffect::OfferRollout`].
    RolloutOffered {
        /// The rollout.
        rollout_id: RolloutId,
        /// Whether the control plane took it.
        taken: OfferOutcome,
    },
    /// The answer to a heartbeat.
    HeartbeatAnswered(HeartbeatAnswer),
    /// An activation has ended.
    ActivationEnded {
        /// The rollout.
        rollout_id: RolloutId,
        /// How.
        outcome: ActivationOutcome,
    },
    /// What the resource engine has begun that cannot be undone; told before each end of an activation.
    OneWay(OneWay),
    /// A rollback has ended.
    RollbackEnded {
        /// The rollout that was rolled back.
        rollout_id: RolloutId,
        /// How.
        outcome: RollbackOutcome,
    },
    /// A probe has run.
    ProbeReported {
        /// The rollout whose probes run, as named in [`super::AgentEffect::StartProbes`].
        rollout_id: RolloutId,
        /// The probe.
        name: ProbeName,
        /// Its outcome.
        outcome: ProbeOutcome,
        /// Why it failed.
        reason: Option<String>,
        /// Results of single controls.
        sub_results: Vec<SubResult>,
    },
    /// The resource engine saw something to be journaled: `resource_changed`, `drift_detected` or
    /// `drift_corrected`. Other events are ignored.
    ResourceObserved {
        /// The event.
        event: Event,
    },
    /// The plan of a bootstrap snapshot has been fetched and verified, or not.
    BootstrapPlan {
        /// The rollout, as named in [`super::AgentEffect::FetchPlan`].
        rollout_id: RolloutId,
        /// The verified plan, or the rule it broke.
        plan: Result<OfferedPlan, Rejection>,
        /// What the host runs, read from the system now.
        current: Option<ClosureId>,
    },
    /// Time has passed.
    Tick,
}

/// A verified plan with what belongs to it.
#[derive(Debug, Clone)]
pub struct OfferedPlan {
    /// The host's own part of the rollout, verified.
    pub plan: Verified<HostPlan>,
    /// What it was verified from; kept with the journal.
    pub proof: RolloutProof,
    /// The probes of its closure, where the closure is at hand. Needed only for a dispatch that changes
    /// nothing and for a bootstrap.
    pub probes: Option<Vec<ProbeSchedule>>,
}

/// A declared probe and when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSchedule {
    /// What is declared.
    pub declared: DeclaredProbe,
    /// How often it runs, in seconds.
    pub interval_secs: u64,
    /// How long one run may take, in seconds.
    pub timeout_secs: u64,
}

impl ProbeSchedule {
    /// The probes of a bundle.
    #[must_use]
    pub fn of(bundle: &Bundle) -> Vec<Self> {
        let declared = bundle.declared_probes().into_iter().zip(&bundle.probes);
        declared
            .map(|(declared, probe)| Self {
                declared,
                interval_secs: probe.interval_secs,
                timeout_secs: probe.timeout_secs,
            })
            .collect()
    }
}

/// Why a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A problem code.
    pub reason: String,
    /// What was wrong.
    pub detail: Option<String>,
}

/// The answer to posted events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostOutcome {
    /// 200: committed up to here.
    Accepted {
        /// The last event committed.
        last_seq: Seq,
    },
    /// 422 `event-refused`.
    Refused {
        /// The event.
        seq: Seq,
        /// Why.
        reason: String,
        /// Everything up to here is committed, the refusal included.
        last_seq: Seq,
    },
    /// 409 `seq-gap`.
    Gap {
        /// The seq to send from.
        expected: Seq,
    },
    /// 409 `journal-replaced`.
    JournalReplaced,
    /// 409 `journal-diverged`.
    JournalDiverged,
    /// 404 `unknown-rollout`.
    UnknownRollout,
    /// 410 `rollout-pruned`.
    Pruned,
    /// No usable answer: unreachable, overloaded, anything else.
    Unavailable,
}

impl PostOutcome {
    /// What a problem says about the journal; `None`: nothing, the request may be sent again.
    #[must_use]
    pub fn of_problem(problem: &Problem) -> Option<Self> {
        let is = |code: ProblemCode| problem.code() == code.as_str();
        if is(ProblemCode::EventRefused) {
            let (seq, last_seq) = (problem.seq?, problem.last_seq?);
            let reason = problem.reason.clone().unwrap_or_else(|| problem.detail.clone());
            return Some(Self::Refused { seq, reason, last_seq });
        }
        if is(ProblemCode::SeqGap) {
            return Some(Self::Gap { expected: problem.expected_seq? });
        }
        let plain = [
            (ProblemCode::JournalReplaced, Self::JournalReplaced),
            (ProblemCode::JournalDiverged, Self::JournalDiverged),
            (ProblemCode::UnknownRollout, Self::UnknownRollout),
            (ProblemCode::RolloutPruned, Self::Pruned),
        ];
        plain.into_iter().find(|(code, _)| is(*code)).map(|(_, outcome)| outcome)
    }
}

/// What became of the offer of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferOutcome {
    /// The control plane knows the rollout now.
    Taken,
    /// It refused it, or could not be reached.
    NotTaken,
}

/// How an activation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivationOutcome {
    /// Done.
    Complete {
        /// Exit code of the switch; 0 for bundles.
        exit_code: i32,
        /// Whether anything had to be changed.
        changed: bool,
        /// The probes of the closure that runs now.
        probes: Vec<ProbeSchedule>,
    },
    /// Staged; needs a reboot.
    Deferred {
        /// The component that cannot be changed while it runs.
        component: String,
    },
    /// Failed.
    Failed {
        /// Whose failure it is.
        class: FailureClass,
        /// What failed.
        reason: String,
        /// Exit code of the switch, if it ended with one.
        exit_code: Option<i32>,
        /// The end of what it wrote to stderr.
        stderr_tail: Option<String>,
        /// Whether anything on the host had been changed by then.
        changed: bool,
    },
}

/// How a rollback ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackOutcome {
    /// Done.
    Complete {
        /// What runs now, read from the system.
        closure: Option<ClosureId>,
        /// Exit code of the switch back; 0 for bundles.
        exit_code: i32,
    },
    /// Failed.
    Failed {
        /// What failed.
        reason: String,
    },
}

/// What the agent keeps beside its journals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// The highest release serial accepted.
    pub serial: Serial,
    /// The fleet document of that release.
    pub fleet_sha256: Option<Sha256Hash>,
    /// The epoch last seen.
    pub cp_epoch: Option<CpEpoch>,
    /// This host's share of the operators' marks.
    pub marks: Option<Marks>,
    /// The end of the control plane's log as last shown.
    pub checkpoint: Option<Checkpoint>,
}

/// A closure this agent itself has activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated {
    /// The closure.
    pub closure: ClosureId,
    /// The closure document with its probes, for a store path (G23).
    pub checks: Option<BlobId>,
    /// The rollout in which it was activated last.
    pub rollout_id: RolloutId,
    /// Whether it has converged there or earlier.
    pub verdict: Verdict,
}

/// Whether a closure has proven itself on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Activated only.
    Unproven,
    /// It has converged.
    Converged,
}

/// Where and when an entry was written, for soak across a restart in the same boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The boot.
    pub boot_id: BootId,
    /// The monotonic clock of that boot.
    pub mono: Mono,
}

/// What the control plane has said about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    Unanswered,
    /// Committed.
    Accepted,
    /// Refused; it did not happen as far as permission goes.
    Refused,
    /// Accepted once, refused when it was sent again on request.
    RefusedInReplay,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEntry {
    /// The entry as first written.
    pub entry: JournalEntry,
    /// Where and when it was written.
    pub written: Written,
    /// What the control plane has said about it.
    pub answer: Answer,
}

/// A journal as it is stored: of each rollout the one opened last.
#[derive(Debug, Clone)]
pub struct StoredJournal {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The journal.
    pub journal_id: JournalId,
    /// What its plan was verified from; `None` for one that only holds the rejection of a dispatch.
    pub proof: Option<RolloutProof>,
    /// The plan, verified again (without freshness and serial).
    pub plan: Option<Verified<HostPlan>>,
    /// The probes of its closure, where the closure is at hand.
    pub probes: Vec<ProbeSchedule>,
    /// Its entries, in order.
    pub entries: Vec<StoredEntry>,
}

/// What an agent finds when it starts.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The host it runs on.
    pub host: HostName,
    /// The boot it runs in.
    pub boot_id: BootId,
    /// What it kept beside the journals.
    pub meta: Meta,
    /// Its journals, in the order in which they were opened.
    pub journals: Vec<StoredJournal>,
    /// The closures it has activated, the latest last.
    pub activated: Vec<Activated>,
    /// The closures it has rejected, the latest last.
    pub rejected: Vec<Rejected>,
    /// What the host runs, read from the system now.
    pub current: Option<ClosureId>,
    /// What was begun that cannot be undone.
    pub one_way: OneWay,
}

/// What only the shell knows of a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The agent's version.
    pub agent_version: String,
    /// Seconds since boot.
    pub uptime_secs: u64,
    /// The version of the trust file that the host goes by.
    pub trust_version: u64,
    /// What the host runs.
    pub current_closure: Option<ClosureId>,
    /// Resource counts.
    pub resources: ResourceCounts,
    /// Resources of other hosts this host waits for.
    pub awaiting: Vec<ResourceRef>,
}

/// Bootstrap snapshots whose plans are being fetched, by rollout.
pub(super) type PendingBootstrap = BTreeMap<RolloutId, HostRecord>;
