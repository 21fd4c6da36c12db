//! The facts an agent reports. One enum for both sides: what an agent journals is what the
//! control plane folds.
//!
//! Not here: which fact is allowed when (see `wavegate_state_machine::host`).

use serde::{Deserialize, Serialize};

use crate::ids::{Attempt, ClosureId, ProbeName, ResourceId, RolloutId, Seq};
use crate::record::{HostRecord, ProbeKind, ProbeMode};
use crate::time::Timestamp;
use crate::wire::resource::{Drift, ResourceKind, ResourceStatus};

/// The most bytes a text field of an event may have; longer ones are cut by [`cut_text`].
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// The most items a list field of an event may have.
pub const MAX_LIST_ITEMS: usize = 256;

/// Cuts `text` to at most [`MAX_TEXT_BYTES`] bytes, at the end of a character.
#[must_use]
pub fn cut_text(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let end = (0..=MAX_TEXT_BYTES).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// One entry of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Its position in the journal, from 1 without gaps.
    pub seq: Seq,
    /// When it happened, by the host's wall clock. Never a reason to refuse.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum Event {
    /// First entry of a journal that does not begin in pending.
    JournalOpened {
        /// The record as it stood.
        snapshot: Box<HostRecord>,
    },
    /// The agent has verified a dispatch and asks to start.
    DispatchAck {
        /// What runs now: the only rollback target. `None`: nothing of ours runs.
        prior_closure: Option<ClosureId>,
        /// The dispatch's attempt.
        attempt: Attempt,
    },
    /// The agent refuses a dispatch; nothing was touched.
    DispatchReject {
        /// A problem code, or one of the agent's own.
        reason: String,
        /// What was wrong.
        detail: Option<String>,
    },
    /// Activation has begun.
    ActivationStarted {
        /// How the closure is activated.
        method: ActivationMethod,
    },
    /// Activation has ended well; soak starts.
    ActivationComplete {
        /// What runs now.
        closure: ClosureId,
        /// Exit code of the switch; 0 for bundles.
        exit_code: i32,
        /// Whether anything on the host had to be changed.
        changed: bool,
    },
    /// Activation has failed.
    ActivationFailed {
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
    /// Staged; needs a reboot to take effect.
    ActivationDeferred {
        /// The component that cannot be changed while it runs.
        component: String,
    },
    /// The set of declared probes; sent also when empty.
    ProbeTopology {
        /// Every declared probe.
        probes: Vec<DeclaredProbe>,
    },
    /// First result of a probe after activation, then every change.
    ProbeResult {
        /// The probe.
        name: ProbeName,
        /// Its mode when it ran.
        mode: ProbeMode,
        /// Its outcome.
        status: ProbeOutcome,
        /// Why it failed.
        reason: Option<String>,
        /// Results of single controls, for evidence probes.
        sub_results: Vec<SubResult>,
    },
    /// Nothing changes for this host in this rollout.
    Carried {
        /// What it runs and should run.
        closure: ClosureId,
        /// The rollout in which it converged on that closure.
        from_rollout: RolloutId,
        /// Every declared probe.
        probes: Vec<DeclaredProbe>,
    },
    /// Enforce probes failed for longer than the policy allows.
    Failed {
        /// The enforce probes that fail.
        failing_probes: Vec<ProbeName>,
        /// For how long the first of them has failed without a pass, in seconds.
        sustained_secs: u64,
        /// What the signed policy says to do.
        policy: FailurePolicy,
    },
    /// The prior closure runs again.
    RollbackComplete {
        /// What runs now.
        closure: Option<ClosureId>,
        /// Exit code of the switch back; 0 for bundles.
        exit_code: i32,
    },
    /// Rolling back failed; needs a person.
    RollbackFailed {
        /// What failed.
        reason: String,
    },
    /// Soaked and healthy.
    Converged {
        /// What runs now.
        closure: ClosureId,
        /// How long it has soaked, in seconds.
        soaked_secs: u64,
    },
    /// After converging, enforce probes fail.
    Degraded {
        /// The enforce probes that fail.
        failing_probes: Vec<ProbeName>,
    },
    /// After being degraded, all enforce probes pass again.
    Recovered {},
    /// The status of a resource has changed.
    ResourceChanged {
        /// The resource.
        id: ResourceId,
        /// Its kind; `kind` itself already names the event.
        resource_kind: ResourceKind,
        /// Its status, without the log.
        status: Box<ResourceStatus>,
    },
    /// A resource is not as it should be.
    DriftDetected {
        /// The resource.
        id: ResourceId,
        /// How it differs.
        drift: Drift,
        /// What differs.
        detail: Option<String>,
    },
    /// A drifted resource was put right.
    DriftCorrected {
        /// The resource.
        id: ResourceId,
        /// What was done.
        result: String,
    },
    /// Stands in a replay for an event that was refused when it was first sent.
    Refused,
}

impl Event {
    /// The names of all kinds.
    pub const KINDS: [&str; 20] = [
        "journal_opened",
        "dispatch_ack",
        "dispatch_reject",
        "activation_started",
        "activation_complete",
        "activation_failed",
        "activation_deferred",
        "probe_topology",
        "probe_result",
        "carried",
        "failed",
        "rollback_complete",
        "rollback_failed",
        "converged",
        "degraded",
        "recovered",
        "resource_changed",
        "drift_detected",
        "drift_corrected",
        "refused",
    ];

    /// The name of the kind, as written in `kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::JournalOpened { .. } => "journal_opened",
            Self::DispatchAck { .. } => "dispatch_ack",
            Self::DispatchReject { .. } => "dispatch_reject",
            Self::ActivationStarted { .. } => "activation_started",
            Self::ActivationComplete { .. } => "activation_complete",
            Self::ActivationFailed { .. } => "activation_failed",
            Self::ActivationDeferred { .. } => "activation_deferred",
            Self::ProbeTopology { .. } => "probe_topology",
            Self::ProbeResult { .. } => "probe_result",
            Self::Carried { .. } => "carried",
            Self::Failed { .. } => "failed",
            Self::RollbackComplete { .. } => "rollback_complete",
            Self::RollbackFailed { .. } => "rollback_failed",
            Self::Converged { .. } => "converged",
            Self::Degraded { .. } => "degraded",
            Self::Recovered {} => "recovered",
            Self::ResourceChanged { .. } => "resource_changed",
            Self::DriftDetected { .. } => "drift_detected",
            Self::DriftCorrected { .. } => "drift_corrected",
            Self::Refused => "refused",
        }
    }
}

/// How a closure is activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationMethod {
    /// By the resource engine.
    Bundle,
    /// By switching the running NixOS system.
    Switch,
    /// By staging a NixOS system for the next boot.
    Boot,
}

/// Whose failure a failed activation is. Only `artifact` speaks against the closure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The closure itself is bad.
    Artifact,
    /// This host could not (disk full, lease lapsed, dependency waited for too long).
    Host,
    /// Something could not be fetched.
    Network,
    /// The host's own rules, or a resource kind this agent does not know.
    Policy,
}

/// What the signed policy says to do when health fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailurePolicy {
    /// Go back to the prior closure and halt the rollout.
    RollbackAndHalt,
    /// Stay as it is and halt the rollout.
    Halt,
}

/// A probe the closure declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredProbe {
    /// Its name, unique in the closure.
    pub name: ProbeName,
    /// What it asks.
    pub kind: ProbeKind,
    /// What its result counts for.
    pub mode: ProbeMode,
}

/// The outcome of one run of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// As expected.
    Pass,
    /// Not as expected, or it could not be run.
    Fail,
}

/// The result of one control of an evidence probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubResult {
    /// The control.
    pub control: String,
    /// Its result.
    pub status: String,
    /// The framework it belongs to.
    pub framework: String,
    /// Where in the framework.
    pub article: Option<String>,
    /// The mode that applied.
    pub effective_mode: String,
    /// Why the mode was changed.
    pub override_reason: Option<String>,
}
