//! Facts of the control plane about its own record: trying again and skipping.
//!
//! The agent's record follows with the next attempt; nothing of this is in its journal.
//!
//! Not here: the mark for skipping a host in flight (G7), which stands beside the state.

use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostRecord, HostState, Rollback};
use wavegate_proto::time::Timestamp;

use super::class::{is_degraded, is_in_flight};
use super::refusal::Refusal;

/// A fact of the control plane about its own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControlFact {
    /// An operator wants the host tried again.
    Retry,
    /// An operator wants the host tried again, and the caller judged it lost (G6) or diverged (G26).
    RetryLost,
    /// The back-off after a failure that was not the artifact's is over.
    InfraRetry,
    /// Left out, by an operator or the offline rule.
    Skip,
    /// No longer left out.
    Unskip,
}

impl ControlFact {
    /// Every fact.
    pub const ALL: [Self; 5] =
        [Self::Retry, Self::RetryLost, Self::InfraRetry, Self::Skip, Self::Unskip];

    /// The fact as refusals and the diagram name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::RetryLost => "retry_lost",
            Self::InfraRetry => "infra_retry",
            Self::Skip => "skip",
            Self::Unskip => "unskip",
        }
    }
}

/// Moves `record` by `fact` at `at`.
///
/// How the last attempt failed stays on a record that is pending again, until the next attempt is
/// acknowledged.
///
/// # Errors
/// When the record does not allow it; the record is then untouched.
pub fn apply_fact(
    record: &mut HostRecord,
    fact: ControlFact,
    at: Timestamp,
) -> Result<(), Refusal> {
    let next = match fact {
        ControlFact::Retry => retry(record)?,
        ControlFact::RetryLost => retry_lost(record)?,
        ControlFact::InfraRetry => infra_retry(record)?,
        ControlFact::Skip => skip(record)?,
        ControlFact::Unskip => unskip(record)?,
    };
    record.state = next;
    record.state_since = at;
    record.degraded_since = None;
    record.synthetic = false;
    Ok(())
}

/// G8: not while a rollback is due or running, unless nothing had been changed.
fn is_settled(record: &HostRecord) -> bool {
    record.failure.as_ref().is_none_or(|failure| !failure.changed)
        || match record.failure.as_ref().map(|failure| failure.rollback) {
            Some(Rollback::Running) => false,
            Some(Rollback::None | Rollback::Done | Rollback::Failed) | None => true,
        }
}

fn retry(record: &HostRecord) -> Result<HostState, Refusal> {
    let allowed = match record.state {
        HostState::Reverted | HostState::Skipped => true,
        HostState::Failed => is_settled(record),
        HostState::Converged => is_degraded(record),
        HostState::Pending | HostState::Activating | HostState::Deferred | HostState::Soaking => {
            false
        }
    };
    if allowed { Ok(HostState::Pending) } else { Err(not_retryable(record)) }
}

fn retry_lost(record: &HostRecord) -> Result<HostState, Refusal> {
    match record.state {
        HostState::Activating
        | HostState::Deferred
        | HostState::Soaking
        | HostState::Failed
        | HostState::Converged => Ok(HostState::Pending),
        HostState::Pending | HostState::Reverted | HostState::Skipped => Err(not_retryable(record)),
    }
}

fn infra_retry(record: &HostRecord) -> Result<HostState, Refusal> {
    let infra = record.failure.as_ref().is_some_and(|f| match f.class {
        FailureClass::Artifact => false,
        FailureClass::Host | FailureClass::Network | FailureClass::Policy => true,
    });
    let allowed = match record.state {
        HostState::Reverted => infra,
        HostState::Failed => infra && is_settled(record),
        HostState::Pending
        | HostState::Activating
        | HostState::Deferred
        | HostState::Soaking
        | HostState::Converged
        | HostState::Skipped => false,
    };
    if allowed { Ok(HostState::Pending) } else { Err(not_retryable(record)) }
}

fn skip(record: &HostRecord) -> Result<HostState, Refusal> {
    match record.state {
        HostState::Pending | HostState::Reverted => Ok(HostState::Skipped),
        HostState::Failed if is_settled(record) => Ok(HostState::Skipped),
        _ if is_in_flight(record) => Err(Refusal::HostInFlight),
        HostState::Activating
        | HostState::Deferred
        | HostState::Soaking
        | HostState::Converged
        | HostState::Failed
        | HostState::Skipped => Err(Refusal::WrongState { state: record.state, kind: "skip" }),
    }
}

fn unskip(record: &HostRecord) -> Result<HostState, Refusal> {
    if record.state == HostState::Skipped {
        Ok(HostState::Pending)
    } else {
        Err(Refusal::WrongState { state: record.state, kind: "unskip" })
    }
}

fn not_retryable(record: &HostRecord) -> Refusal {
    Refusal::NotRetryable { state: record.state }
}
