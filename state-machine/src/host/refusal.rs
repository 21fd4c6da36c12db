//! Why a fact is refused: a variant a reason, with a stable code and a sentence.
//!
//! Not here: why an entry is not even looked at (see [`super::Admission`]).

use wavegate_proto::ids::{Attempt, ClosureId, ProbeName};
use wavegate_proto::record::HostState;

/// Why a fact was refused. The record is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The state does not allow this kind of fact.
    #[error("{kind} is not allowed in state {state}")]
    WrongState {
        /// The record's state.
        state: HostState,
        /// The kind of fact.
        kind: &'static str,
    },
    /// No dispatch is open for this record.
    #[error("no dispatch is open for this host")]
    NoLease,
    /// The dispatch had lapsed when the acknowledgement was handled.
    #[error("the dispatch of attempt {attempt} has lapsed")]
    LeaseLapsed {
        /// Its attempt.
        attempt: Attempt,
    },
    /// The acknowledgement names another attempt than the open dispatch.
    #[error("the open dispatch is attempt {expected}, the event says {got}")]
    WrongAttempt {
        /// The dispatch's attempt.
        expected: Attempt,
        /// The event's attempt.
        got: Attempt,
    },
    /// The attempt has been acknowledged before.
    #[error("attempt {got} is not later than attempt {last}")]
    AttemptNotLater {
        /// The record's attempt.
        last: Attempt,
        /// The event's attempt.
        got: Attempt,
    },
    /// The host may not carry: the dispatch does not say that nothing changes.
    #[error("the dispatch does not say that nothing changes")]
    NotNoChange,
    /// The event names another closure than the target.
    #[error("the closure is {got}, the target is {target}")]
    NotTarget {
        /// The record's target.
        target: ClosureId,
        /// The event's closure.
        got: ClosureId,
    },
    /// The event names another closure than the prior one.
    #[error("the closure is not the prior one")]
    NotPrior,
    /// An exit code other than 0 is no success.
    #[error("exit code {exit_code} is not a success")]
    BadExitCode {
        /// The exit code.
        exit_code: i32,
    },
    /// The declared probes have not been reported since activation.
    #[error("the declared probes have not been reported since activation")]
    TopologyUnknown,
    /// The same probe is declared twice.
    #[error("probe {name} is declared twice")]
    DuplicateProbe {
        /// The probe.
        name: ProbeName,
    },
    /// More probes than an event may list.
    #[error("more probes than an event may list")]
    TooManyProbes,
    /// The probe is not declared.
    #[error("probe {name} is not declared")]
    UndeclaredProbe {
        /// The probe.
        name: ProbeName,
    },
    /// An enforce probe has not reported, or its last result is not a pass.
    #[error("enforce probe {name} has not passed")]
    ProbeNotPassed {
        /// The first such probe.
        name: ProbeName,
    },
    /// No failing probe is named.
    #[error("no failing probe is named")]
    NoFailingProbe,
    /// A probe named as failing is not an enforce probe whose last result is a fail.
    #[error("probe {name} is not a failing enforce probe")]
    ProbeNotFailing {
        /// The probe.
        name: ProbeName,
    },
    /// Soak is not over.
    #[error("soaked {soaked_secs} s of {soak_secs} s")]
    SoakNotOver {
        /// The event's figure.
        soaked_secs: u64,
        /// The policy's figure.
        soak_secs: u64,
    },
    /// The probes have not failed for long enough.
    #[error("failed for {sustained_secs} s of {threshold_secs} s")]
    ThresholdNotReached {
        /// The event's figure.
        sustained_secs: u64,
        /// The policy's figure.
        threshold_secs: u64,
    },
    /// The event names another policy than the signed one.
    #[error("the signed policy says otherwise")]
    WrongPolicy,
    /// No rollback is due.
    #[error("no rollback is due")]
    NoRollbackDue,
    /// The host is degraded already.
    #[error("the host is degraded already")]
    AlreadyDegraded,
    /// The host is not degraded.
    #[error("the host is not degraded")]
    NotDegraded,
    /// The control plane may not assert health on its own.
    #[error("{kind} asserts health that no agent reported")]
    SyntheticHealth {
        /// The kind of event.
        kind: &'static str,
    },
    /// Only a replay may hold this.
    #[error("{kind} is allowed only in a replay")]
    ReplayOnly {
        /// The kind of event.
        kind: &'static str,
    },
    /// The snapshot is of something else.
    #[error("the snapshot's {field} is not the one of this record")]
    ForeignSnapshot {
        /// What differs.
        field: &'static str,
    },
    /// The snapshot says something a snapshot may not say.
    #[error("the snapshot is not acceptable: {problem}")]
    BadSnapshot {
        /// What.
        problem: &'static str,
    },
    /// A rollback is due or running, or there is nothing to try again.
    #[error("a host in state {state} cannot be tried again now")]
    NotRetryable {
        /// The record's state.
        state: HostState,
    },
    /// The host is in the middle of it.
    #[error("the host is in flight")]
    HostInFlight,
}

impl Refusal {
    /// The reason as a stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongState { .. } => "wrong-state",
            Self::NoLease => "no-lease",
            Self::LeaseLapsed { .. } => "lease-lapsed",
            Self::WrongAttempt { .. } => "wrong-attempt",
            Self::AttemptNotLater { .. } => "attempt-not-later",
            Self::NotNoChange => "not-no-change",
            Self::NotTarget { .. } => "not-target-closure",
            Self::NotPrior => "not-prior-closure",
            Self::BadExitCode { .. } => "bad-exit-code",
            Self::TopologyUnknown => "topology-unknown",
            Self::DuplicateProbe { .. } => "duplicate-probe",
            Self::TooManyProbes => "too-many-probes",
            Self::UndeclaredProbe { .. } => "undeclared-probe",
            Self::ProbeNotPassed { .. } => "probe-not-passed",
            Self::NoFailingProbe => "no-failing-probe",
            Self::ProbeNotFailing { .. } => "probe-not-failing",
            Self::SoakNotOver { .. } => "soak-not-over",
            Self::ThresholdNotReached { .. } => "threshold-not-reached",
            Self::WrongPolicy => "wrong-policy",
            Self::NoRollbackDue => "no-rollback-due",
            Self::AlreadyDegraded => "already-degraded",
            Self::NotDegraded => "not-degraded",
            Self::SyntheticHealth { .. } => "synthetic-health",
            Self::ReplayOnly { .. } => "replay-only",
            Self::ForeignSnapshot { .. } => "foreign-snapshot",
            Self::BadSnapshot { .. } => "bad-snapshot",
            Self::NotRetryable { .. } => "not-retryable",
            Self::HostInFlight => "host-in-flight",
        }
    }
}
