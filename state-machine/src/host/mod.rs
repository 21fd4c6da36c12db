//! The host machine: where one host is in one rollout, and which facts may move it.
//!
//! The control plane and the agent fold the same events with [`fold()`] into the same record. A fact that
//! the record does not allow is refused with its reason and changes nothing.
//!
//! Not here: who may send what (identity), when a dispatch may be issued (`wavegate-reconciler`), and
//! what an agent does about a state (see [`crate::agent`]).
//!
//! Every transition; a test compares this list with the code:
//!
//! ```text
//! pending -> pending: journal_opened dispatch_reject refused
//! pending -> activating: journal_opened dispatch_ack
//! pending -> deferred: journal_opened
//! pending -> soaking: journal_opened
//! pending -> converged: journal_opened carried
//! pending -> failed: journal_opened
//! pending -> reverted: journal_opened
//! pending -> skipped: skip
//! activating -> pending: retry_lost
//! activating -> activating: journal_opened activation_started resource_changed drift_detected drift_corrected refused
//! activating -> deferred: activation_deferred
//! activating -> soaking: activation_complete
//! activating -> failed: activation_failed
//! deferred -> pending: retry_lost
//! deferred -> activating: dispatch_ack
//! deferred -> deferred: journal_opened resource_changed drift_detected drift_corrected refused
//! deferred -> soaking: activation_complete
//! deferred -> failed: activation_failed
//! soaking -> pending: retry_lost
//! soaking -> activating: dispatch_ack
//! soaking -> soaking: journal_opened probe_topology probe_result resource_changed drift_detected drift_corrected refused
//! soaking -> converged: converged
//! soaking -> failed: failed
//! converged -> pending: retry retry_lost
//! converged -> activating: dispatch_ack
//! converged -> converged: journal_opened dispatch_reject probe_topology probe_result degraded recovered resource_changed drift_detected drift_corrected refused
//! failed -> pending: retry retry_lost infra_retry
//! failed -> activating: dispatch_ack
//! failed -> failed: journal_opened dispatch_reject rollback_failed resource_changed drift_detected drift_corrected refused
//! failed -> reverted: rollback_complete
//! failed -> skipped: skip
//! reverted -> pending: retry infra_retry
//! reverted -> activating: dispatch_ack
//! reverted -> reverted: journal_opened dispatch_reject resource_changed drift_detected drift_corrected refused
//! reverted -> skipped: skip
//! skipped -> pending: retry unskip
//! skipped -> activating: dispatch_ack
//! skipped -> skipped: journal_opened dispatch_reject resource_changed drift_detected drift_corrected refused
//! ```

mod class;
mod facts;
mod fold;
mod health;
mod journal;
mod refusal;
mod snapshot;

use wavegate_proto::event::FailurePolicy;
use wavegate_proto::ids::Attempt;
use wavegate_proto::time::Timestamp;

pub use class::{
    LostAfter, Waiting, failure_class, is_degraded, is_failed_artifact, is_in_flight, is_lost,
    uses_slot,
};
pub use facts::{ControlFact, apply_fact};
pub use fold::fold;
pub use journal::{
    Admission, ClosedJournals, HeadVerdict, JournalBook, MAX_CLOSED_JOURNALS, refused_form,
};
pub use refusal::Refusal;
pub use snapshot::MAX_SNAPSHOT_ATTEMPT;

/// What a fold needs to know beside the record and the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldContext {
    /// How long a host soaks in its wave, in seconds.
    pub soak_secs: u64,
    /// For how long an enforce probe must fail without a pass before the host failed, in seconds.
    pub failure_threshold_secs: u64,
    /// What the signed policy says to do then.
    pub on_health_failure: FailurePolicy,
    /// The dispatch of this record, as the caller judged it.
    pub lease: Lease,
    /// Where the event comes from.
    pub origin: Origin,
}

/// The dispatch of a record. The caller judges `now < expires_at` when it handles the event (G4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// There is none.
    None,
    /// It may be acknowledged now.
    Open {
        /// The attempt it counts as.
        attempt: Attempt,
        /// Whether nothing changes for the host.
        no_change: bool,
        /// When it was issued.
        issued_at: Timestamp,
    },
    /// It came too late to be acknowledged.
    Lapsed {
        /// The attempt it counted as.
        attempt: Attempt,
    },
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Sent by the agent for the first time, or again without having been asked.
    Live,
    /// Sent again because the control plane asked for it (G5: the caller judged that it did).
    Replay,
    /// Concluded by the control plane. It never asserts health.
    Synthetic,
}
