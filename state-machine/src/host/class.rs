//! What a record amounts to: whether it uses a budget slot, how it failed, whether it is lost.
//!
//! Not here: whether a wave or a rollout is done, which needs all its records.

use wavegate_proto::event::FailureClass;
use wavegate_proto::record::{HostRecord, HostState};

/// Whether the host has converged and its enforce probes fail now.
#[must_use]
pub fn is_degraded(record: &HostRecord) -> bool {
    record.state == HostState::Converged && record.degraded_since.is_some()
}

/// Whether the host is in the middle of it: activating, deferred, soaking or rolling back.
#[must_use]
pub fn is_in_flight(record: &HostRecord) -> bool {
    match record.state {
        HostState::Activating | HostState::Deferred | HostState::Soaking => true,
        HostState::Failed => record.is_rolling_back(),
        HostState::Pending | HostState::Converged | HostState::Reverted | HostState::Skipped => {
            false
        }
    }
}

/// Whether the record uses a slot of its host's budgets (G19, G6). An open dispatch uses one too; that
/// is the caller's to know.
#[must_use]
pub fn uses_slot(record: &HostRecord) -> bool {
    match record.state {
        HostState::Activating | HostState::Deferred | HostState::Soaking => true,
        HostState::Converged => is_degraded(record),
        HostState::Failed => record.failure.as_ref().is_none_or(|failure| failure.changed),
        HostState::Pending | HostState::Reverted | HostState::Skipped => false,
    }
}

/// Whose failure stands on a failed or reverted record; `None` in any other state.
#[must_use]
pub fn failure_class(record: &HostRecord) -> Option<FailureClass> {
    match record.state {
        HostState::Failed | HostState::Reverted => record.failure.as_ref().map(|f| f.class),
        HostState::Pending
        | HostState::Activating
        | HostState::Deferred
        | HostState::Soaking
        | HostState::Converged
        | HostState::Skipped => None,
    }
}

/// Whether a failure stands that speaks against the closure.
#[must_use]
pub fn is_failed_artifact(record: &HostRecord) -> bool {
    failure_class(record) == Some(FailureClass::Artifact)
}

/// How long a host has been waited for, by the caller's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Seconds since its last contact.
    pub silent_secs: u64,
    /// Seconds since its record entered its state.
    pub in_state_secs: u64,
}

/// The policy's figures after which a host counts as lost, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostAfter {
    /// How long an activation may take.
    pub activation_timeout_secs: u64,
    /// How long a host may wait for resources of other hosts.
    pub await_timeout_secs: u64,
    /// Silence after which a host counts as offline.
    pub offline_after_secs: u64,
    /// How long the host soaks in its wave.
    pub soak_secs: u64,
    /// For how long a probe must fail.
    pub failure_threshold_secs: u64,
}

impl LostAfter {
    /// Silence of a host in flight that is too long, in seconds.
    #[must_use]
    pub fn silent_secs(self) -> u64 {
        self.activation_timeout_secs.saturating_add(self.offline_after_secs)
    }

    /// Time in one state that is too long, silent or not, in seconds; `None`: the state may last. A
    /// deferred host waits for a reboot.
    #[must_use]
    pub fn stuck_secs(self, state: HostState) -> Option<u64> {
        let explained = match state {
            HostState::Activating => {
                self.activation_timeout_secs.saturating_add(self.await_timeout_secs)
            }
            // A probe that never reports counts as failing after its interval, time-out and half a
            // minute; the policy does not know these, so the time for being offline stands for them.
            HostState::Soaking => self.soak_secs.saturating_add(self.failure_threshold_secs),
            HostState::Pending
            | HostState::Deferred
            | HostState::Converged
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => return None,
        };
        Some(explained.saturating_add(self.offline_after_secs))
    }
}

/// Whether a host in flight is lost: silent, or online and stuck, for longer than its policy explains
/// (G6).
#[must_use]
pub fn is_lost(record: &HostRecord, waiting: Waiting, after: LostAfter) -> bool {
    after.stuck_secs(record.state).is_some_and(|stuck_secs| {
        waiting.silent_secs > after.silent_secs() || waiting.in_state_secs > stuck_secs
    })
}
