//! What an agent's core wants done. The shell performs effects in their order; those that write are
//! durable before the next one is performed.
//!
//! Not here: performing them (the agent's shell), requests and heartbeats, which the shell pulls.

use wavegate_proto::event::JournalEntry;
use wavegate_proto::ids::{ClosureId, JournalId, RolloutId, Seq};
use wavegate_proto::wire::agent::{Rejected, ResourceRef, RolloutProof};

use super::input::{Activated, Answer, Meta, ProbeSchedule, Written};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum AgentEffect {
    /// Write: open a journal for a rollout. An older journal of the same rollout is kept as evidence.
    OpenJournal {
        /// The rollout.
        rollout_id: RolloutId,
        /// The new journal.
        journal_id: JournalId,
        /// What its plan was verified from; `None` when it only holds the rejection of a dispatch.
        proof: Option<RolloutProof>,
    },
    /// Write: a rollout's plan has been verified; keep its proof with the journal that is open.
    AttachProof {
        /// The rollout.
        rollout_id: RolloutId,
        /// Its journal.
        journal_id: JournalId,
        /// What the plan was verified from.
        proof: RolloutProof,
    },
    /// Write: append an entry.
    Append {
        /// The rollout.
        rollout_id: RolloutId,
        /// Its journal.
        journal_id: JournalId,
        /// The entry.
        entry: JournalEntry,
        /// Where and when it was written; stored with it.
        written: Written,
    },
    /// Write: set the answer of each entry from `from` to `to` that has none yet to `Accepted`, then that
    /// of `refused`.
    MarkAnswered {
        /// The rollout.
        rollout_id: RolloutId,
        /// Its journal.
        journal_id: JournalId,
        /// The last entry that was answered.
        to: Seq,
        /// An entry that was refused, and how.
        refused: Option<(Seq, Answer)>,
    },
    /// Write: every journal of this rollout may be deleted.
    DropJournal {
        /// The rollout.
        rollout_id: RolloutId,
    },
    /// Write: what is kept beside the journals.
    SaveMeta(Meta),
    /// Write: a closure this agent has activated; replaces the row of the same closure, as the latest.
    RememberActivated(Activated),
    /// Write: a closure is rejected on this host.
    Reject(Rejected),
    /// Write: a rejection was cleared.
    Unreject(Rejected),
    /// Begin to activate the closure, or go on: it is idempotent. Answered by `ActivationEnded`.
    Activate {
        /// The rollout.
        rollout_id: RolloutId,
        /// What to activate.
        closure: ClosureId,
        /// How long it may take, in seconds, without waiting for other hosts.
        timeout_secs: u64,
        /// How long it may wait for resources of other hosts, in seconds.
        await_timeout_secs: u64,
    },
    /// Go back. Answered by `RollbackEnded`.
    Rollback {
        /// The rollout that failed.
        rollout_id: RolloutId,
        /// Where to; `None`: to nothing of ours.
        to: Option<ClosureId>,
        /// How long it may take, in seconds.
        timeout_secs: u64,
    },
    /// This closure has converged: what was begun on the way to it and cannot be undone no longer stands in
    /// the way of going back.
    SettleOneWay {
        /// The closure.
        closure: ClosureId,
    },
    /// Ask these probes, from now on and instead of any others.
    StartProbes {
        /// The rollout they report to.
        rollout_id: RolloutId,
        /// The closure they belong to.
        closure: ClosureId,
        /// The probes.
        probes: Vec<ProbeSchedule>,
    },
    /// Ask no probe any more.
    StopProbes,
    /// Send a heartbeat at once.
    HeartbeatNow,
    /// Offer a header the control plane has lost. Answered by `RolloutOffered`.
    OfferRollout {
        /// The rollout.
        rollout_id: RolloutId,
        /// The body.
        proof: RolloutProof,
    },
    /// Fetch and verify a plan (without freshness and serial) and the probes of its closure. Answered by
    /// `BootstrapPlan`.
    FetchPlan {
        /// The rollout.
        rollout_id: RolloutId,
    },
    /// Resources of other hosts that are completed.
    Satisfied(Vec<ResourceRef>),
    /// Nothing to do but to tell the person who reads the log.
    Log {
        /// What.
        message: String,
    },
}
