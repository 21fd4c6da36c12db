//! One host's place in one rollout: its signed entry, its record, and what the control plane keeps
//! beside them.

use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::Attempt;
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::operator::MarkBy;
use wavegate_state_machine::host::JournalBook;

use super::resource_book::ResourceBook;
use crate::gates::Hold;

/// One host's place in one rollout. What is empty for most hosts stands behind a pointer: there is one for
/// each host of the fleet.
#[derive(Debug, Clone)]
pub struct Placement {
    /// What the signed plan says.
    pub entry: HostEntry,
    /// What the events say.
    pub record: HostRecord,
    /// How far its journal has been folded.
    pub journal: JournalBook,
    /// The open dispatch.
    pub lease: Option<Lease>,
    /// Attempts issued so far, acknowledged or not.
    pub issued: Attempt,
    /// Why it is left out.
    pub skip: Option<SkipReason>,
    /// Who left it out, when that was a person.
    pub skip_by: Option<Box<MarkBy>>,
    /// The version of the operators' marks in which that changed last.
    pub skip_version: u64,
    /// Whether an operator wanted it tried again, and it has not been yet.
    pub retried: bool,
    /// The attempt whose failure does not speak against the rollout any more (G18).
    pub forgiven: Option<Attempt>,
    /// The attempt whose failure does not speak against the closure any more (G12).
    pub cleared: Option<Attempt>,
    /// Infrastructure failures, lapsed leases and refused dispatches so far.
    pub infra_failures: u32,
    /// When an infrastructure failure may be tried again.
    pub retry_at: Option<RetryAt>,
    /// Whether it has been in flight for longer than its policy explains, silent or not (G6).
    pub lost: bool,
    /// Whether it has converged and runs something else since (G26).
    pub diverged: bool,
    /// Which of its resources are completed.
    pub resources: ResourceBook,
    /// When its record entered its state, as this process saw it.
    pub entered: Mono,
    /// The gate that held it when it was last looked at.
    pub held: Option<Box<HeldSince>>,
    /// How it counts in its wave, as of the last refresh; `None` before the first.
    pub(super) counted: Option<Counted>,
    /// When its silence is looked at, as the rollout has it; `None`: silence does not matter.
    pub(super) silence_due: Option<Mono>,
}

/// How a host counts in its wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) class: HostClass,
    pub(super) state: HostState,
    pub(super) unhealthy: bool,
    pub(super) unheard_failure: bool,
    pub(super) forgiven: bool,
    pub(super) touched: bool,
    /// Whether it stands among its rollout's candidates.
    pub(super) candidate: bool,
    /// Whether it stands among those that do not wait for their wave.
    pub(super) express: bool,
}

/// The permission to start, until it lapses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// To be repeated in the acknowledgement.
    pub attempt: Attempt,
    /// Whether nothing is to change.
    pub no_change: bool,
    /// When it was issued, for people.
    pub issued_at: Timestamp,
    /// When it lapses, for people.
    pub expires_at: Timestamp,
    /// When it lapses.
    pub expires: Mono,
}

/// When a host may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAt {
    /// For people, and for the next process.
    pub wall: Timestamp,
    /// What decides.
    pub mono: Mono,
}

impl RetryAt {
    /// `secs` seconds from now.
    #[must_use]
    pub fn after(now: Now, secs: u64) -> Self {
        Self { wall: now.wall.plus_secs(secs), mono: now.mono.plus_secs(secs) }
    }
}

/// Why a host is left out of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// It was silent for longer than `skip_offline_after`; dispatched when it returns.
    Offline,
    /// It is no longer in the fleet.
    Removed,
    /// Its certificate has been revoked; taken in again when it speaks with a new one.
    Revoked,
    /// By a person.
    Operator,
}

/// A gate that holds, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSince {
    /// What holds.
    pub hold: Hold,
    /// Since when.
    pub since: Timestamp,
}

/// How a host counts in its wave. One derived status, computed in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostClass {
    /// Pending, without a dispatch.
    Waiting,
    /// Pending, with an open dispatch.
    Leased,
    /// Activating or soaking.
    InFlight,
    /// Staged; waits for a reboot.
    Deferred,
    /// Converged.
    Converged,
    /// Left out because it was silent.
    SkippedOffline,
    /// Left out by a person or by a newer release.
    Skipped,
    /// Failed for the closure's own fault, rollback not over.
    FailedArtifact,
    /// Failed for the closure's own fault, rolled back.
    RevertedArtifact,
    /// Failed for another reason, and will be tried again.
    InfraRetrying,
    /// Failed for another reason for the last time, or lost.
    InfraExhausted,
    /// It has not reported since the control plane started (G25).
    Unknown,
}

impl HostClass {
    /// How many classes there are.
    pub const COUNT: usize = 12;
}

impl Placement {
    /// A place in which nothing has happened yet.
    #[must_use]
    pub fn new(entry: HostEntry, record: HostRecord) -> Self {
        Self {
            entry,
            record,
            journal: JournalBook::default(),
            lease: None,
            issued: Attempt(0),
            skip: None,
            skip_by: None,
            skip_version: 0,
            retried: false,
            forgiven: None,
            cleared: None,
            infra_failures: 0,
            retry_at: None,
            lost: false,
            diverged: false,
            resources: ResourceBook::default(),
            entered: Mono::default(),
            held: None,
            counted: None,
            silence_due: None,
        }
    }

    /// How it counts in its wave.
    #[must_use]
    pub fn class(&self) -> HostClass {
        self.counted.map_or(HostClass::Waiting, |counted| counted.class)
    }

    /// Whether anything has been started for it.
    #[must_use]
    pub fn has_left_pending(&self) -> bool {
        self.lease.is_some()
            || !matches!(self.record.state, HostState::Pending | HostState::Skipped)
    }

    /// Whether its host has never reported anything in this rollout.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.record.state == HostState::Pending && self.record.journal_id.is_none()
    }

    /// Whether the planner may dispatch it.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        self.record.state == HostState::Pending && self.lease.is_none() && self.skip.is_none()
    }

    /// Whether it is being worked on.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        matches!(self.record.state, HostState::Activating | HostState::Soaking)
            || self.record.is_rolling_back()
    }

    /// Whether it is down and nothing is being done about it: failed where it stands, or degraded.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        match self.record.state {
            HostState::Failed => {
                !self.record.is_rolling_back()
                    && wavegate_state_machine::host::uses_slot(&self.record)
            }
            HostState::Converged => self.is_degraded(),
            HostState::Pending
            | HostState::Activating
            | HostState::Deferred
            | HostState::Soaking
            | HostState::Reverted
            | HostState::Skipped => false,
        }
    }

    /// Whether it has converged and is not what it was then: its probes fail, or it runs something else.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.record.state == HostState::Converged
            && (self.record.degraded_since.is_some() || self.diverged)
    }

    /// Whether it uses a slot of its budgets (G19).
    #[must_use]
    pub fn uses_slot(&self) -> bool {
        self.skip.is_none()
            && (self.lease.is_some()
                || self.is_degraded()
                || wavegate_state_machine::host::uses_slot(&self.record))
    }

    /// Whether its probes fail now, or it is degraded after having converged. One that a person left
    /// out is not asked.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        if self.skip.is_some() {
            return false;
        }
        match self.record.state {
            HostState::Soaking | HostState::Converged => {
                self.is_degraded() || self.record.failing_enforce_probes().next().is_some()
            }
            HostState::Pending
            | HostState::Activating
            | HostState::Deferred
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => false,
        }
    }

    /// Whether it failed for the closure's own fault.
    #[must_use]
    pub fn is_artifact_failure(&self) -> bool {
        matches!(self.record.state, HostState::Failed | HostState::Reverted)
            && self.record.failure.as_ref().is_some_and(|f| f.class == FailureClass::Artifact)
    }

    /// Whether it failed for the closure's own fault, and that has been put up with by a resume.
    #[must_use]
    pub fn is_forgiven(&self) -> bool {
        self.is_artifact_failure() && self.forgiven == Some(self.record.attempt)
    }

    /// Whether a failure or rejection of `attempt` does not speak against the closure any more (G12).
    #[must_use]
    pub fn is_cleared(&self, attempt: Attempt) -> bool {
        self.cleared.is_some_and(|cleared| attempt <= cleared)
    }

    /// Whether something follows when the host falls silent or returns.
    #[must_use]
    pub fn silence_matters(&self) -> bool {
        self.skip == Some(SkipReason::Offline)
            || self.is_candidate()
            || match self.record.state {
                HostState::Activating | HostState::Deferred | HostState::Soaking => true,
                HostState::Pending
                | HostState::Converged
                | HostState::Failed
                | HostState::Reverted
                | HostState::Skipped => false,
            }
    }

    pub(super) fn classify(&self, unknown: bool, infra_retries: u32) -> HostClass {
        if let Some(skip) = self.skip {
            return match skip {
                SkipReason::Offline => HostClass::SkippedOffline,
                SkipReason::Removed | SkipReason::Revoked | SkipReason::Operator => {
                    HostClass::Skipped
                }
            };
        }
        // What it failed of stands, heard or not: a halted rollout is not reverted by a restart.
        let settled = matches!(self.record.state, HostState::Converged | HostState::Skipped)
            || self.is_artifact_failure();
        if unknown && !settled {
            return HostClass::Unknown;
        }
        if self.lost {
            return HostClass::InfraExhausted;
        }
        match self.record.state {
            HostState::Pending if self.lease.is_some() => HostClass::Leased,
            HostState::Pending if self.infra_failures > infra_retries => HostClass::InfraExhausted,
            HostState::Pending => HostClass::Waiting,
            HostState::Activating | HostState::Soaking => HostClass::InFlight,
            HostState::Deferred => HostClass::Deferred,
            HostState::Converged => HostClass::Converged,
            HostState::Skipped => HostClass::Skipped,
            HostState::Failed if self.is_artifact_failure() => HostClass::FailedArtifact,
            HostState::Reverted if self.is_artifact_failure() => HostClass::RevertedArtifact,
            HostState::Failed | HostState::Reverted if self.infra_failures <= infra_retries => {
                HostClass::InfraRetrying
            }
            HostState::Failed | HostState::Reverted => HostClass::InfraExhausted,
        }
    }
}
