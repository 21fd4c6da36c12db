//! What is persisted: the log, and the derived rows written in the same transaction.

use serde::{Deserialize, Serialize};
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::canonical::chain_log;
use wavegate_proto::ids::{
    Attempt, ChannelName, ClosureId, CpEpoch, HostName, KeyThumbprint, LogSeq, ProbeName,
    ProviderId, Ref, RolloutId, Serial, Sha256Hash, TokenId, WaveIndex,
};
use wavegate_proto::log_chain::RemovedRun;
use wavegate_proto::record::HostRecord;
use wavegate_proto::signing::Signature;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{
    EventItem, Halt, Hold, MarkBy, QuarantineDocument, RolloutState,
};
use wavegate_proto::wire::provider::ProviderState;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::fleet::resource_book::ResourceBook;
use wavegate_reconciler::fleet::rollout::Mark;
use wavegate_state_machine::host::JournalBook;

/// One change of what is persisted. Each derived row names the log row that last changed it.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Append to the log; the store chains the hash.
    Log(LogRow),
    /// Insert or replace a rollout.
    Rollout(RolloutRow),
    /// Insert or replace a wave.
    Wave(WaveRow),
    /// Insert or replace a host's place in a rollout.
    HostRollout(Box<HostRolloutRow>),
    /// Remove a host's place: its rollout was superseded before anything was started for it.
    HostRolloutDropped {
        /// From which rollout.
        rollout_id: RolloutId,
        /// Which host.
        host: HostName,
    },
    /// Replace the current failures of a host's probes in a rollout.
    ProbeFailures(ProbeFailuresRow),
    /// Insert or replace a quarantine.
    Quarantine(QuarantineRow),
    /// Remove a quarantine.
    QuarantineCleared {
        /// On which channel.
        channel: ChannelName,
        /// Of which closure.
        closure: ClosureId,
    },
    /// Insert or replace what an operator has marked.
    Mark(MarkRow),
    /// The version of the operators' marks from now on.
    MarksVersion(u64),
    /// Insert or replace an open dispatch.
    Dispatch(DispatchRow),
    /// Remove an open dispatch.
    DispatchClosed {
        /// In which rollout.
        rollout_id: RolloutId,
        /// Of which host.
        host: HostName,
    },
    /// A release was adopted.
    Release(ReleaseRow),
    /// Remove a rollout with everything that is about it, and remember its ref.
    RolloutPruned(PrunedRow),
    /// Remove rows from the log.
    LogRemoved(RemovedRow),
    /// When hosts were last heard from; flushed now and then.
    HostsSeen(Vec<HostSeenRow>),
    /// A token has let a host in.
    Enrollment(EnrollmentRow),
    /// Insert or replace what the provider of a host says.
    Provider(ProviderRow),
    /// When that was told last.
    ProviderSynced(ProviderSyncedRow),
    /// The database's epoch.
    Epoch {
        /// Which.
        epoch: CpEpoch,
        /// Since when, if it is another.
        since: Timestamp,
    },
}

/// One row of the log. Its `chain` is computed by the store, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Its position, from 1 without gaps.
    pub seq: LogSeq,
    /// When, by whoever caused it.
    pub at: Timestamp,
    /// The host it is about.
    pub host: Option<HostName>,
    /// The rollout it is about.
    pub rollout_id: Option<RolloutId>,
    /// What happened.
    pub kind: &'static str,
    /// Who caused it.
    pub actor: String,
    /// Whether it is the control plane's own conclusion about a host.
    pub synthetic: bool,
    /// The fields of the kind.
    pub payload: serde_json::Value,
}

/// The kind of the row that says that a rollout was pruned.
pub const PRUNED: &str = "rollout_pruned";

/// Rows of a pruned rollout that stay: those that still say something.
pub const KEPT_KINDS: [&str; 3] = [PRUNED, "quarantine_added", "quarantine_cleared"];

impl LogRow {
    /// The row as it is chained and listed, after a row with the chain value `before`.
    #[must_use]
    pub fn chained(self, before: &Sha256Hash) -> EventItem {
        let mut item = EventItem {
            seq: self.seq,
            at: self.at,
            host: self.host,
            rollout_id: self.rollout_id,
            kind: self.kind.to_owned(),
            actor: self.actor,
            synthetic: self.synthetic,
            payload: self.payload,
            chain: Sha256Hash::default(),
        };
        item.chain = chain_log(before, &item);
        item
    }
}

/// A rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutRow {
    /// Its id.
    pub rollout_id: RolloutId,
    /// Its channel.
    pub channel: ChannelName,
    /// Its ref.
    pub reference: Ref,
    /// Its place in the order of opening.
    pub order: u64,
    /// The serial it was opened with.
    pub serial: Serial,
    /// What identifies its content: `(channel, ref)` is bound to it for ever.
    pub content_id: Sha256Hash,
    /// The header's exact bytes.
    pub header: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// Where it is.
    pub state: RolloutState,
    /// Why it halted.
    pub halt: Option<Halt>,
    /// Whether too many infrastructure failures stand.
    pub frozen: bool,
    /// The wave being worked on.
    pub current_wave: WaveIndex,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it became terminal, reverted or superseded.
    pub finished_at: Option<Timestamp>,
    /// What took its place.
    pub superseded_by: Option<RolloutId>,
    /// The log row that last changed it.
    pub log_seq: LogSeq,
}

/// A wave of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveRow {
    /// Of which rollout.
    pub rollout_id: RolloutId,
    /// Which.
    pub wave: WaveIndex,
    /// When it became the current one.
    pub started_at: Timestamp,
    /// The log row that last changed it.
    pub log_seq: LogSeq,
}

/// A host's place in a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRolloutRow {
    /// What the signed plan says.
    pub entry: HostEntry,
    /// What the events say.
    pub record: HostRecord,
    /// How far the journal has been folded.
    pub journal: JournalBook,
    /// What the control plane keeps beside them.
    pub marks: PlacementMarks,
    /// The log row that last changed it.
    pub log_seq: LogSeq,
}

/// What the control plane keeps beside a record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlacementMarks {
    /// Attempts issued so far.
    pub issued: Attempt,
    /// Why it is left out.
    #[serde(default)]
    pub skip: Option<SkipReason>,
    /// Who left it out, when that was a person.
    #[serde(default)]
    pub skip_by: Option<MarkBy>,
    /// The version of the operators' marks in which that changed last.
    #[serde(default)]
    pub skip_version: u64,
    /// Whether an operator wanted it tried again, and it has not been yet.
    #[serde(default)]
    pub retried: bool,
    /// The attempt whose failure does not speak against the rollout any more.
    #[serde(default)]
    pub forgiven: Option<Attempt>,
    /// The attempt whose failure does not speak against the closure any more.
    #[serde(default)]
    pub cleared: Option<Attempt>,
    /// Infrastructure failures so far.
    #[serde(default)]
    pub infra_failures: u32,
    /// When it may be tried again.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
    /// Whether it is shown as lost.
    #[serde(default)]
    pub lost: bool,
    /// Whether it is shown as diverged.
    #[serde(default)]
    pub diverged: bool,
    /// Which of its resources are completed.
    #[serde(default, skip_serializing_if = "ResourceBook::is_empty")]
    pub resources: ResourceBook,
}

/// The probes of a host in a rollout that fail now.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeFailuresRow {
    /// In which rollout.
    pub rollout_id: RolloutId,
    /// On which host.
    pub host: HostName,
    /// Which, since when and why; empty: all pass.
    pub failing: Vec<(ProbeName, Timestamp, Option<String>)>,
    /// The log row that last changed it.
    pub log_seq: LogSeq,
}

/// A quarantine.
#[derive(Debug, Clone, PartialEq)]
pub struct QuarantineRow {
    /// As operators read it.
    pub document: QuarantineDocument,
    /// The log row that added it.
    pub log_seq: LogSeq,
}

/// What an operator has marked. One that was taken back stays, with nothing in it, for its version.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkRow {
    /// What is marked, and how.
    pub content: MarkContent,
    /// The version of the operators' marks in which that changed last.
    pub version: u64,
    /// The log row that last changed it.
    pub log_seq: LogSeq,
}

/// What is marked, and how.
#[derive(Debug, Clone, PartialEq)]
pub enum MarkContent {
    /// A rollout is paused or aborted.
    Rollout(RolloutId, Option<Mark>),
    /// A wave has been approved.
    Approval(RolloutId, WaveIndex, MarkBy),
    /// A host is held.
    Hold(HostName, Option<Hold>),
}

impl MarkContent {
    /// Its kind, and what is marked.
    #[must_use]
    pub fn key(&self) -> (&'static str, String) {
        match self {
            Self::Rollout(id, _) => (Self::ROLLOUT, id.to_string()),
            Self::Approval(id, wave, _) => (Self::APPROVAL, format!("{id} {wave}")),
            Self::Hold(host, _) => (Self::HOLD, host.to_string()),
        }
    }

    /// The kind of a mark on a rollout.
    pub const ROLLOUT: &'static str = "rollout";
    /// The kind of an approval.
    pub const APPROVAL: &'static str = "approval";
    /// The kind of a hold.
    pub const HOLD: &'static str = "hold";
}

/// An open dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct DispatchRow {
    /// In which rollout.
    pub rollout_id: RolloutId,
    /// To which host.
    pub host: HostName,
    /// Its attempt.
    pub attempt: Attempt,
    /// Whether nothing is to change.
    pub no_change: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// The log row that issued it.
    pub log_seq: LogSeq,
}

/// A release that was adopted.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRow {
    /// Its serial.
    pub serial: Serial,
    /// The hash of its fleet document.
    pub fleet_sha256: Sha256Hash,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// When it was adopted.
    pub adopted_at: Timestamp,
    /// The rollouts it opened.
    pub opened: Vec<RolloutId>,
    /// The channels whose ref stayed the same.
    pub unchanged: Vec<ChannelName>,
    /// The log row that adopted it.
    pub log_seq: LogSeq,
}

/// A rollout that retention has removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunedRow {
    /// Which.
    pub rollout_id: RolloutId,
    /// What its ref is bound to for ever.
    pub content_id: Sha256Hash,
    /// When it was removed.
    pub pruned_at: Timestamp,
    /// The log row that says so.
    pub log_seq: LogSeq,
}

/// A host that a token has let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentRow {
    /// By which token.
    pub token: TokenId,
    /// Which host.
    pub host: HostName,
    /// With which key.
    pub key: KeyThumbprint,
    /// Until when the token counts.
    pub expires_at: Timestamp,
    /// When.
    pub at: Timestamp,
    /// The log row that says so.
    pub log_seq: LogSeq,
}

/// What the provider of a host says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRow {
    /// Of which host.
    pub host: HostName,
    /// The machine's name with its provider.
    pub provider_id: Option<ProviderId>,
    /// What the provider says.
    pub provider_state: ProviderState,
    /// By whom that was told.
    pub actor: String,
    /// Since when it is told like this.
    pub since: Timestamp,
    /// The log row that says so.
    pub log_seq: LogSeq,
}

/// When what the provider of a host says was told last. It is not derived from the log: scripts tell the
/// same every minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSyncedRow {
    /// Of which host.
    pub host: HostName,
    /// When.
    pub last_sync: Timestamp,
}

/// Rows that compaction has removed from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedRow {
    /// Which.
    pub run: RemovedRun,
    /// The log row that accounts for them.
    pub log_seq: LogSeq,
}

/// When a host was last heard from.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSeenRow {
    /// Which.
    pub host: HostName,
    /// When.
    pub last_seen_at: Timestamp,
    /// Its agent's version.
    pub agent_version: Option<String>,
    /// What it said it runs.
    pub current_closure: Option<ClosureId>,
}

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogEnd {
    /// The last row; 0: there is none.
    pub seq: LogSeq,
    /// The chain up to it; zeros before the first row.
    pub chain: Sha256Hash,
}

/// Everything that is read back at a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The database's epoch.
    pub cp_epoch: CpEpoch,
    /// Since when: when the database was made, or found to have gone back.
    pub epoch_since: Timestamp,
    /// Whether the database was made at this start.
    pub new_database: bool,
    /// The end of the log.
    pub log_end: LogEnd,
    /// The release adopted last.
    pub release: Option<ReleaseRow>,
    /// Every rollout, by order of opening.
    pub rollouts: Vec<RolloutRow>,
    /// Every place, by rollout and host.
    pub host_rollouts: Vec<HostRolloutRow>,
    /// Every quarantine.
    pub quarantines: Vec<QuarantineRow>,
    /// Every mark of an operator.
    pub marks: Vec<MarkRow>,
    /// The version of the operators' marks.
    pub marks_version: u64,
    /// Every open dispatch.
    pub dispatches: Vec<DispatchRow>,
    /// Hosts that tokens have let in.
    pub enrollments: Vec<EnrollmentRow>,
    /// What the providers of hosts say.
    pub providers: Vec<ProviderRow>,
    /// When that was told last.
    pub provider_syncs: Vec<ProviderSyncedRow>,
    /// Rollouts that retention has removed.
    pub pruned: Vec<PrunedRow>,
    /// When hosts were last heard from.
    pub hosts_seen: Vec<HostSeenRow>,
}
