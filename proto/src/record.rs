//! The record of one host in one rollout: what both sides fold events into. Also the snapshot an
//! agent is given, and an item of `/v1/rollouts/{id}/hosts`.
//!
//! Not here: the fold (see `wavegate_state_machine::host`).

use serde::{Deserialize, Serialize};

use crate::event::{FailureClass, ProbeOutcome};
use crate::ids::{
    Attempt, ChannelName, ClosureId, HostName, JournalId, ProbeName, RolloutId, Seq, WaveIndex,
};
use crate::time::Timestamp;

/// Where a host is in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Not started.
    Pending,
    /// The agent is activating the target.
    Activating,
    /// Staged; waits for a reboot.
    Deferred,
    /// Activated; being watched.
    Soaking,
    /// Soaked and healthy.
    Converged,
    /// Failed; a rollback may be due or running.
    Failed,
    /// Failed and rolled back.
    Reverted,
    /// Left out, by an operator or because it was offline for too long.
    Skipped,
}

impl HostState {
    /// Every state, in the order of the machine.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Activating,
        Self::Deferred,
        Self::Soaking,
        Self::Converged,
        Self::Failed,
        Self::Reverted,
        Self::Skipped,
    ];

    /// The state as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Activating => "activating",
            Self::Deferred => "deferred",
            Self::Soaking => "soaking",
            Self::Converged => "converged",
            Self::Failed => "failed",
            Self::Reverted => "reverted",
            Self::Skipped => "skipped",
        }
    }
}

impl std::fmt::Display for HostState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One host in one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The host.
    pub host: HostName,
    /// The rollout's channel.
    pub channel: ChannelName,
    /// The host's wave, from its signed entry.
    pub wave: WaveIndex,
    /// Where it is.
    pub state: HostState,
    /// Since when, by the clock of whoever reported it.
    pub state_since: Timestamp,
    /// What it should run, from its signed entry.
    pub target_closure: ClosureId,
    /// What ran before the switch: the only rollback target.
    pub prior_closure: Option<ClosureId>,
    /// What runs now, as far as this rollout's events tell.
    pub current_closure: Option<ClosureId>,
    /// The attempt last acknowledged; 0 before the first.
    pub attempt: Attempt,
    /// The journal that is folded here.
    pub journal_id: Option<JournalId>,
    /// The last event of it that was folded or refused; 0 before the first.
    pub last_seq: Seq,
    /// When the control plane issued the dispatch that is open or was acknowledged last.
    pub dispatched_at: Option<Timestamp>,
    /// When the agent acknowledged it.
    pub dispatch_acked_at: Option<Timestamp>,
    /// When activation began.
    pub activation_started_at: Option<Timestamp>,
    /// When activation was complete and soak began.
    pub activation_completed_at: Option<Timestamp>,
    /// When it converged.
    pub converged_at: Option<Timestamp>,
    /// When it failed.
    pub failed_at: Option<Timestamp>,
    /// How it failed.
    pub failure: Option<Failure>,
    /// Since when it is degraded, after having converged.
    pub degraded_since: Option<Timestamp>,
    /// The declared probes with their last results, by name.
    #[serde(default)]
    pub probes: Vec<ProbeRecord>,
    /// Whether the set of declared probes has been reported since activation.
    #[serde(default)]
    pub topology_known: bool,
    /// Whether the last change was the control plane's own conclusion, not a report.
    pub synthetic: bool,
}

impl HostRecord {
    /// A record in which nothing has happened yet.
    #[must_use]
    pub fn pending(
        rollout_id: RolloutId,
        host: HostName,
        wave: WaveIndex,
        target_closure: ClosureId,
        opened_at: Timestamp,
    ) -> Self {
        Self {
            channel: rollout_id.channel.clone(),
            rollout_id,
            host,
            wave,
            state: HostState::Pending,
            state_since: opened_at,
            target_closure,
            prior_closure: None,
            current_closure: None,
            attempt: Attempt(0),
            journal_id: None,
            last_seq: Seq(0),
            dispatched_at: None,
            dispatch_acked_at: None,
            activation_started_at: None,
            activation_completed_at: None,
            converged_at: None,
            failed_at: None,
            failure: None,
            degraded_since: None,
            probes: Vec::new(),
            topology_known: false,
            synthetic: false,
        }
    }

    /// The enforce probes whose last result is a fail.
    pub fn failing_enforce_probes(&self) -> impl Iterator<Item = &ProbeRecord> {
        self.probes.iter().filter(|p| p.is_enforced() && p.status == ProbeStatus::Fail)
    }

    /// Whether a rollback is due or running.
    #[must_use]
    pub fn is_rolling_back(&self) -> bool {
        self.state == HostState::Failed
            && self.failure.as_ref().is_some_and(|f| f.rollback == Rollback::Running)
    }
}

/// How a host failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose failure it is.
    pub class: FailureClass,
    /// What failed.
    pub reason: String,
    /// What has become of the rollback.
    pub rollback: Rollback,
    /// Whether the host had been changed when it failed.
    #[serde(default = "changed_when_unknown")]
    pub changed: bool,
}

fn changed_when_unknown() -> bool {
    true
}

/// What has become of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// The policy is `halt`: there is none.
    None,
    /// Due or running.
    Running,
    /// The prior closure runs again.
    Done,
    /// It failed and needs a person.
    Failed,
}

/// One declared probe and its last result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// Its name.
    pub name: ProbeName,
    /// What it asks.
    pub kind: ProbeKind,
    /// What its result counts for.
    pub mode: ProbeMode,
    /// Its last result since activation.
    pub status: ProbeStatus,
    /// Since when it fails without a pass in between.
    pub failing_since: Option<Timestamp>,
    /// Why it fails.
    pub reason: Option<String>,
}

impl ProbeRecord {
    /// Whether its result holds convergence.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.mode == ProbeMode::Enforce
    }
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// An HTTP endpoint.
    Http,
    /// A TCP port.
    Tcp,
    /// A program's exit code.
    Exec,
    /// A signed report of a local collector.
    Evidence,
}

/// What a probe's result counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeMode {
    /// It decides.
    Enforce,
    /// It is shown.
    Observe,
    /// It does not run.
    Disabled,
}

/// The last result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeStatus {
    /// It has not reported since activation.
    Unknown,
    /// Its last result is a pass.
    Pass,
    /// Its last result is a fail.
    Fail,
}

impl From<ProbeOutcome> for ProbeStatus {
    fn from(outcome: ProbeOutcome) -> Self {
        match outcome {
            ProbeOutcome::Pass => Self::Pass,
            ProbeOutcome::Fail => Self::Fail,
        }
    }
}
