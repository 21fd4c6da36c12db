//! The payloads of log rows that the derived tables are rebuilt from: written and read as one type, so
//! that what is decided now can be folded again later.
//!
//! Not here: payloads that only people read (they are written where they are noted), and those of
//! agents' events (see `events`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::ids::{
    Attempt, ChannelName, ClosureId, CpEpoch, HostName, JournalId, KeyId, KeyThumbprint,
    ProviderId, RolloutId, Seq, Serial, Sha256Hash, TokenId, WaveIndex,
};
use wavegate_proto::signing::Signature;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{
    Halt, Hold, MarkBy, QuarantineDocument, QuarantineSource, RolloutState,
};
use wavegate_proto::wire::provider::ProviderState;
use wavegate_reconciler::fleet::placement::SkipReason;
use wavegate_reconciler::fleet::rollout::Mark;

/// `payload` as it is logged.
pub(super) fn logged<T: Serialize>(payload: &T) -> Value {
    serde_json::to_value(payload).unwrap_or_default()
}

/// `cp_started`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CpStarted {
    pub(super) version: String,
    pub(super) cp_epoch: CpEpoch,
}

/// `epoch_renewed`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EpochRenewed {
    pub(super) old: CpEpoch,
    pub(super) new: CpEpoch,
}

/// `release_adopted`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReleaseAdopted {
    pub(super) serial: Serial,
    pub(super) fleet_sha256: Sha256Hash,
    pub(super) signed_at: Timestamp,
    /// The SHA-256 of each file of the release, by its path.
    pub(super) files: BTreeMap<String, Sha256Hash>,
    pub(super) opened: Vec<RolloutId>,
    pub(super) unchanged: Vec<ChannelName>,
}

/// `rollout_opened`, by a release.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RolloutOpened {
    pub(super) serial: Serial,
    pub(super) content_id: Sha256Hash,
    pub(super) hosts: usize,
}

/// `rollout_opened`, by a host that offered its header.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RolloutOffered {
    pub(super) serial: Serial,
    pub(super) content_id: Sha256Hash,
    pub(super) state: RolloutState,
    pub(super) superseded_by: Option<RolloutId>,
    /// The header's exact bytes, in base64.
    pub(super) header: String,
    pub(super) signatures: Vec<Signature>,
}

/// `rollout_state`: where a rollout stands now.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RolloutMoved {
    pub(super) from: RolloutState,
    pub(super) to: RolloutState,
    pub(super) reason: String,
    pub(super) current_wave: WaveIndex,
    pub(super) frozen: bool,
    pub(super) halt: Option<Halt>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) superseded_by: Option<RolloutId>,
}

/// `rollout_pruned`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RolloutPruned {
    pub(super) from: RolloutState,
    pub(super) content_id: Sha256Hash,
}

/// `wave_started`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WaveStarted {
    pub(super) wave: WaveIndex,
}

/// `dispatch_issued`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DispatchIssued {
    pub(super) attempt: Attempt,
    pub(super) no_change: bool,
    pub(super) expires_at: Timestamp,
}

/// `host_skipped`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostSkipped {
    pub(super) skipped: bool,
    pub(super) cause: Option<SkipReason>,
    /// Who wanted it, when that was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<MarkBy>,
    /// The version of the operators' marks with which that changed; `None`: no mark has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
}

/// `rollout_paused`, `rollout_aborted`, `rollout_resumed`, `host_released`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marked {
    /// The version of the operators' marks from here on.
    pub(super) version: u64,
}

/// `wave_approved`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WaveApproved {
    pub(super) wave: WaveIndex,
    pub(super) version: u64,
}

/// `host_retried`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostRetried {
    /// The version of the operators' marks with which a skip was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
}

/// `host_held`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostHeld {
    pub(super) until: Option<Timestamp>,
    pub(super) version: u64,
}

/// `provider_changed`: the whole as it stands from here on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProviderChanged {
    pub(super) provider_id: Option<ProviderId>,
    pub(super) provider_state: ProviderState,
}

/// `host_diverged`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostDiverged {
    pub(super) diverged: bool,
    pub(super) current_closure: Option<ClosureId>,
}

/// `quarantine_cleared`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QuarantineCleared {
    pub(super) channel: ChannelName,
    pub(super) closure: ClosureId,
    /// What does not speak against the closure any more.
    pub(super) attempts: Vec<ClearedAttempt>,
}

/// A failure or rejection that was cleared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ClearedAttempt {
    pub(super) rollout_id: RolloutId,
    pub(super) host: HostName,
    pub(super) attempt: Attempt,
}

/// `mark_restored`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MarkRestored {
    pub(super) from_host: HostName,
    pub(super) version: u64,
    #[serde(flatten)]
    pub(super) restored: Restored,
}

/// What a host has brought back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Restored {
    /// The mark on the row's rollout, or that there is none.
    Mark(Option<Mark>),
    /// The row's host is left out of the row's rollout, by whom.
    SkippedBy(MarkBy),
    /// The hold on the row's host.
    Hold(Hold),
}

/// `host_recovered`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostRecovered {
    pub(super) case: String,
    /// With the case `header-offered`: what the signed plan says about the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<HostEntry>,
}

/// `host_enrolled`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HostEnrolled {
    pub(super) token: TokenId,
    /// Who signed it.
    pub(super) token_key: KeyId,
    /// Until when it counts.
    pub(super) expires_at: Timestamp,
    /// Whether it is bound to the host's key.
    pub(super) bound: bool,
    /// The host's key.
    pub(super) key: KeyThumbprint,
}

/// `certificate_renewed`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CertificateRenewed {
    /// The host's key.
    pub(super) key: KeyThumbprint,
    pub(super) by: RenewedBy,
}

/// How a host has proven who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RenewedBy {
    /// By the certificate of its connection.
    Certificate,
    /// By one that has expired, and its key.
    ExpiredCertificate,
}

/// `event_refused`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventRefused {
    pub(super) seq: Seq,
    pub(super) kind: String,
    pub(super) reason: String,
    pub(super) journal_id: JournalId,
    pub(super) received_at: Timestamp,
    /// The attempt that a refused acknowledgement names, when it is one that may be believed.
    pub(super) attempt: Attempt,
    /// The journal's head had the event been accepted.
    pub(super) head_if_accepted: Option<Sha256Hash>,
}

/// What stands beside an agent's event in its row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reported {
    pub(super) seq: Seq,
    pub(super) journal_id: JournalId,
    pub(super) received_at: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) replay: bool,
}

/// `quarantine_added`. The rollout and the host are those of the row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QuarantineAdded {
    pub(super) channel: ChannelName,
    pub(super) closure: ClosureId,
    pub(super) since: Timestamp,
    pub(super) attempt: Attempt,
    pub(super) reason: String,
    pub(super) source: QuarantineSource,
}

impl QuarantineAdded {
    pub(super) fn of(document: &QuarantineDocument) -> Self {
        Self {
            channel: document.channel.clone(),
            closure: document.closure.clone(),
            since: document.since,
            attempt: document.attempt,
            reason: document.reason.clone(),
            source: document.source,
        }
    }

    pub(super) fn document(self, rollout_id: RolloutId, host: HostName) -> QuarantineDocument {
        QuarantineDocument {
            channel: self.channel,
            closure: self.closure,
            since: self.since,
            host,
            rollout_id,
            attempt: self.attempt,
            reason: self.reason,
            source: self.source,
        }
    }
}
