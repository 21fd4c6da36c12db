//! What an agent and the control plane say to each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::JournalEntry;
use crate::ids::{
    Attempt, BootId, ChannelName, ClosureId, CpEpoch, HostName, JournalId, LogSeq, ResourceId,
    RolloutId, Seq, Serial, Sha256Hash, WaveIndex,
};
use crate::record::HostRecord;
use crate::signing::Signature;
use crate::time::Timestamp;
use crate::wire::operator::{Hold, MarkBy, RolloutMark};

/// The protocol version of this build, sent as the header `wavegate-protocol`.
pub const PROTOCOL_VERSION: u32 = 1;

/// The most events one request may carry.
pub const MAX_EVENTS_PER_REQUEST: usize = 256;

/// The most bytes of a request with events.
pub const MAX_EVENTS_BYTES: usize = 1024 * 1024;

/// The most bytes of a heartbeat.
pub const MAX_HEARTBEAT_BYTES: usize = 256 * 1024;

/// The most rejected closures a heartbeat may name.
pub const MAX_REJECTED: usize = 64;

/// The longest an agent may ask a dispatch poll to wait, in seconds.
pub const MAX_POLL_WAIT_SECS: u64 = 120;

/// `POST /v1/agent/heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The agent's version.
    pub agent_version: String,
    /// The host's boot.
    pub boot_id: BootId,
    /// Seconds since boot.
    pub uptime_secs: u64,
    /// The host's wall clock.
    pub at: Timestamp,
    /// The epoch the agent last saw.
    pub cp_epoch: Option<CpEpoch>,
    /// The end of the log as the host was last shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The highest release serial the host has accepted.
    #[serde(default)]
    pub serial: Serial,
    /// The version of the trust file that the host goes by; `None`: its agent does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_version: Option<u64>,
    /// What the host runs.
    pub current_closure: Option<ClosureId>,
    /// The version of the operator marks the host keeps.
    #[serde(default)]
    pub marks_version: u64,
    /// These marks, for a control plane that has lost them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Box<Marks>>,
    /// The journals the host holds.
    #[serde(default)]
    pub rollouts: BTreeMap<RolloutId, JournalHead>,
    /// Closures the host has rejected; at most [`MAX_REJECTED`].
    #[serde(default)]
    pub rejected: Vec<Rejected>,
    /// Probe counts.
    #[serde(default)]
    pub probes: ProbeCounts,
    /// Resource counts.
    #[serde(default)]
    pub resources: ResourceCounts,
    /// Resources of other hosts this host waits for.
    #[serde(default)]
    pub awaiting: Vec<ResourceRef>,
}

/// How far a journal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The journal.
    pub journal_id: JournalId,
    /// The first event the host still holds.
    pub first_seq: Seq,
    /// The last event of it.
    pub last_seq: Seq,
    /// The chained hash over its events, see [`crate::canonical::chain_journal`].
    pub head: Sha256Hash,
}

/// A closure a host has rejected, as evidence for a quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The channel.
    pub channel: ChannelName,
    /// The closure.
    pub closure: ClosureId,
    /// The rollout whose signed entry named it.
    pub rollout_id: RolloutId,
    /// The attempt that failed.
    pub attempt: Attempt,
}

/// Probe counts of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProbeCounts {
    /// Passing.
    pub pass: u32,
    /// Failing.
    pub fail: u32,
    /// Not reported yet.
    pub unknown: u32,
}

/// Resource counts of a heartbeat and of the host document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceCounts {
    /// As they should be.
    pub completed: u32,
    /// Failed.
    pub failed: u32,
    /// Held by an unfinished dependency.
    pub blocked: u32,
    /// Being worked on.
    pub running: u32,
    /// Not started.
    pub pending: u32,
    /// Of a kind this agent does not know, or not observed yet.
    pub unknown: u32,
    /// Not as they should be.
    pub drifted: u32,
}

/// A resource of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceRef {
    /// The host.
    pub host: HostName,
    /// The resource.
    pub resource: ResourceId,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// The control plane's epoch.
    pub cp_epoch: CpEpoch,
    /// The control plane's wall clock.
    pub now: Timestamp,
    /// When to send the next heartbeat, in seconds from now.
    pub next_heartbeat_secs: u64,
    /// Journals to send again, each from this seq.
    #[serde(default)]
    pub replay: BTreeMap<RolloutId, Seq>,
    /// Rollouts whose journal has diverged: open a new one.
    #[serde(default)]
    pub new_journal: Vec<RolloutId>,
    /// Rejections to drop.
    #[serde(default)]
    pub cleared: Vec<Rejected>,
    /// This host's share of the operators' marks, when its version is older.
    #[serde(default)]
    pub marks: Option<Marks>,
    /// The host's open rollouts, when the heartbeat named none.
    #[serde(default)]
    pub bootstrap: Vec<HostRecord>,
    /// Which of the awaited resources are completed.
    #[serde(default)]
    pub satisfied: Vec<ResourceRef>,
    /// The end of the log, now and then; to be repeated in heartbeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The version of the trust file that the control plane goes by: what is newer than the host's own
    /// is to be had there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_version: Option<u64>,
}

/// The end of the log as one host was shown it. A control plane on an older copy of its database
/// recognises it and knows that its log went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last row.
    pub seq: LogSeq,
    /// The chain up to it.
    pub chain: Sha256Hash,
    /// Binds both to the host, with a key that only the control plane has.
    pub mac: Sha256Hash,
}

/// A host's share of the operators' marks, as the host keeps it: what it says is sealed by the control
/// plane and kept as it came, so that an older agent loses nothing of what a newer control plane says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Rises with each change.
    pub version: u64,
    /// Everything else, see [`SealedMarks`].
    #[serde(flatten)]
    pub content: serde_json::Map<String, serde_json::Value>,
}

/// The most bytes of a share that an agent keeps, as JSON.
pub const MAX_MARKS_BYTES: usize = 64 * 1024;

/// What [`Marks::content`] holds, as the control plane writes and reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedMarks {
    /// Marks by rollout; rollouts without any are left out.
    pub rollouts: BTreeMap<RolloutId, RolloutMarks>,
    /// The hold on this host.
    pub hold: Option<Hold>,
    /// Binds the share to its host and version, with a key that only the control plane has.
    pub mac: Sha256Hash,
}

/// The marks of one rollout, as one host keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutMarks {
    /// The mark on the rollout.
    pub mark: Option<RolloutMark>,
    /// By whom and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_by: Option<MarkBy>,
    /// Whether this host is skipped in it.
    pub skipped: bool,
    /// By whom and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_by: Option<MarkBy>,
}

/// `GET /v1/agent/dispatch`: the permission to activate now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// Its channel.
    pub channel: ChannelName,
    /// The host's wave.
    pub wave: WaveIndex,
    /// What to activate.
    pub target_closure: ClosureId,
    /// Whether the host already runs it, converged and healthy.
    pub no_change: bool,
    /// To be repeated in the acknowledgement.
    pub attempt: Attempt,
    /// When the lease was issued.
    pub issued_at: Timestamp,
    /// When it lapses. `expires_at - issued_at` is its length whatever the clocks say.
    pub expires_at: Timestamp,
}

/// `POST /v1/agent/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsRequest {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The journal the events are from.
    pub journal_id: JournalId,
    /// Whether they are sent again on request.
    #[serde(default)]
    pub replay: bool,
    /// At most [`MAX_EVENTS_PER_REQUEST`], in order of `seq`.
    pub events: Vec<JournalEntry>,
}

/// The answer to events: everything up to `last_seq` is committed to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsAnswer {
    /// The last event that was folded or refused.
    pub last_seq: Seq,
}

/// `GET /v1/agent/rollouts/{id}`, and the body of `POST /v1/agent/rollouts`: what a host needs to
/// verify its own part of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutProof {
    /// The header's exact bytes, base64.
    pub header: String,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// The host's own entry, as it stands in the hosts table: a typed one would lose the keys this
    /// build does not know, and with them the leaf's hash.
    pub entry: serde_json::Value,
    /// That the entry belongs to the header.
    pub proof: InclusionProof,
}

/// An RFC 6962 audit path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The leaf's position.
    pub index: u64,
    /// Sibling hashes from the leaf to the root; at most 64.
    pub path: Vec<Sha256Hash>,
}
