//! The documents of the read API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{
    Attempt, BootId, ChannelName, ClosureId, CpEpoch, HostName, LogSeq, Ref, RolloutId, Serial,
    Sha256Hash, WaveIndex, WaveName,
};
use crate::record::{HostState, ProbeRecord};
use crate::time::{Timestamp, whole_seconds};
use crate::wire::agent::ResourceCounts;
use crate::wire::forecast::{Eta, Expected};
use crate::wire::provider::Provider;

/// The most items one page may have.
pub const MAX_PAGE_LIMIT: usize = 1000;

/// The items of a page when the request does not say.
pub const DEFAULT_PAGE_LIMIT: usize = 100;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The fleet.
    pub fleet: crate::ids::FleetName,
    /// The adopted release's serial; 0 before the first.
    pub serial: Serial,
    /// The database's epoch.
    pub cp_epoch: CpEpoch,
    /// The control plane's version.
    pub version: String,
    /// Whether dispatching waits for hosts to report after a start.
    pub mode: Mode,
    /// Host counts.
    pub hosts: HostCounts,
    /// Every rollout that is not pruned, newest last.
    pub rollouts: Vec<StatusRollout>,
    /// The end of the log.
    pub log: StatusLog,
    /// The version of the trust file that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_version: Option<u64>,
    /// What somebody should look at.
    #[serde(default, skip_serializing_if = "Alarms::is_quiet")]
    pub alarms: Alarms,
    /// What runs out, the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiries: Vec<Expiry>,
}

/// What somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarms {
    /// Hosts whose clock is further from the control plane's than is tolerated.
    pub clock_skewed: u64,
    /// Hosts for which two machines speak.
    pub cloned: u64,
    /// The rule that the adopted release breaks under the trust file that holds.
    pub release_untrusted: Option<String>,
}

impl Alarms {
    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        *self == Self::default()
    }
}

/// Something that runs out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// What kind of thing.
    pub kind: ExpiryKind,
    /// Which: the channel, the host, the subject of the certificate.
    pub name: String,
    /// When.
    #[serde(with = "whole_seconds")]
    pub at: Timestamp,
    /// Seconds until then; negative when it is past.
    pub left_secs: i64,
}

/// A kind of thing that runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpiryKind {
    /// A channel's signature counts as fresh.
    Freshness,
    /// The certificate of the host whose expires first.
    HostCertificate,
    /// The control plane's own certificate.
    ControlPlaneCertificate,
    /// An authority of the trust file.
    Authority,
}

/// Whether dispatching waits for hosts to report after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It does not.
    Normal,
    /// It does.
    Recovering,
}

/// Host counts of the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostCounts {
    /// In the signed fleet.
    pub total: u64,
    /// Heard from lately.
    pub online: u64,
    /// Not heard from lately, or never.
    pub offline: u64,
    /// By the state of their newest record; `none` without one.
    pub by_state: BTreeMap<String, u64>,
}

/// A rollout in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRollout {
    /// Which.
    pub rollout_id: RolloutId,
    /// Where it is.
    pub state: RolloutState,
    /// Its current wave.
    pub current_wave: WaveIndex,
    /// How many waves it has.
    pub waves_total: u32,
    /// When it is expected to end.
    #[serde(default)]
    pub eta: Option<Eta>,
}

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusLog {
    /// The last committed row.
    pub last_seq: LogSeq,
}

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// Nothing dispatched yet.
    Opening,
    /// The current wave is being worked on.
    Active,
    /// The current wave is done, more is to come.
    Converging,
    /// Every host is done.
    Terminal,
    /// Halted: nothing more is dispatched.
    Failed,
    /// Halted, and every failed host is back on its prior closure.
    Reverted,
    /// A newer ref has opened on the channel.
    Superseded,
    /// Removed by retention.
    Pruned,
}

impl RolloutState {
    /// Every state, in the order of the machine.
    pub const ALL: [Self; 8] = [
        Self::Opening,
        Self::Active,
        Self::Converging,
        Self::Terminal,
        Self::Failed,
        Self::Reverted,
        Self::Superseded,
        Self::Pruned,
    ];

    /// The state as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Active => "active",
            Self::Converging => "converging",
            Self::Terminal => "terminal",
            Self::Failed => "failed",
            Self::Reverted => "reverted",
            Self::Superseded => "superseded",
            Self::Pruned => "pruned",
        }
    }
}

impl std::fmt::Display for RolloutState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a host has been heard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// Never, by this control plane.
    Never,
    /// Lately.
    Online,
    /// Not lately.
    Offline,
}

/// `GET /v1/hosts/{host}`, and an item of `/v1/hosts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostDocument {
    /// The host.
    pub host: HostName,
    /// Its channel; `None` when it is not in the fleet.
    pub channel: Option<ChannelName>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it is in the signed fleet.
    pub member: bool,
    /// Whether it has been heard from.
    pub seen: Seen,
    /// `seen == online`.
    pub online: bool,
    /// When its last heartbeat came.
    pub last_seen_at: Option<Timestamp>,
    /// Its agent's version.
    pub agent_version: Option<String>,
    /// What it says it runs.
    pub current_closure: Option<ClosureId>,
    /// What the adopted release names for it.
    pub target_closure: Option<ClosureId>,
    /// The rollout of its newest record.
    pub rollout_id: Option<RolloutId>,
    /// Its wave there.
    pub wave: Option<WaveIndex>,
    /// Where it is there.
    pub state: Option<HostState>,
    /// Since when.
    pub state_since: Option<Timestamp>,
    /// Its probes there.
    pub probes: Vec<ProbeRecord>,
    /// Its resources, by status.
    pub resources: ResourceCounts,
    /// The hold on it.
    pub hold: Option<Hold>,
    /// When its certificate expires.
    pub cert_expires_at: Option<Timestamp>,
    /// Its clock minus the control plane's, in seconds, at the last heartbeat.
    pub clock_skew_secs: Option<i64>,
    /// Why it is left alone although it speaks; `None`: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    /// What its provider says of the machine; `None`: nobody has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
}

/// Two machines use one host's certificate: neither is dispatched until only one is heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// `cloned-identity`.
    pub code: String,
    /// Since when.
    pub since: Timestamp,
    /// The boots of the machines.
    pub boots: Vec<BootId>,
}

/// An operator's hold on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// By whom, as the log names them: `operator/alice`.
    pub actor: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until released.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether it has not expired at `now`.
    #[must_use]
    pub fn stands_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// `GET /v1/hosts/{host}/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The host.
    pub host: HostName,
    /// What the planner would do with it now.
    pub decision: ExplainDecision,
    /// Every gate that holds.
    pub reasons: Vec<Reason>,
}

/// What the planner would do with a host now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExplainDecision {
    /// Dispatch it.
    Dispatch,
    /// Hold it back.
    Wait,
    /// It is being worked on.
    InFlight,
    /// Nothing: it is done.
    Done,
    /// Nothing: it failed.
    Failed,
}

/// Why a host waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The gate that holds.
    pub gate: String,
    /// The case, as a stable code.
    pub code: String,
    /// The sentence for people.
    pub detail: String,
    /// Since when it holds, where that is known.
    pub since: Option<Timestamp>,
    /// The earliest time at which it may open, where that is known.
    pub earliest_at: Option<Timestamp>,
    /// What opens it.
    pub clears_when: String,
    /// Whether it opens by itself.
    #[serde(default)]
    pub kind: ReasonKind,
}

/// What a host that waits needs: patience, a person, or that something comes back (O2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonKind {
    /// It opens by itself: with time, or with what other hosts do as planned.
    #[default]
    HeldBack,
    /// A person has to decide something.
    NeedsPerson,
    /// What should have happened has not: a host is silent, or does not get on.
    Stuck,
}

/// An item of `/v1/channels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelDocument {
    /// The channel.
    pub channel: ChannelName,
    /// Its current ref.
    #[serde(rename = "ref")]
    pub reference: Ref,
    /// The serial of the release it came with last.
    pub serial: Serial,
    /// When that was signed.
    #[serde(with = "whole_seconds")]
    pub signed_at: Timestamp,
    /// Until when it counts as fresh.
    #[serde(with = "whole_seconds")]
    pub fresh_until: Timestamp,
    /// Its current rollout.
    pub rollout_id: Option<RolloutId>,
    /// Where that is.
    pub state: Option<RolloutState>,
    /// How many hosts are on it.
    pub hosts: u64,
    /// The channels that must be done before it.
    pub after: Vec<ChannelName>,
}

/// `GET /v1/rollouts/{id}`, and an item of `/v1/rollouts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutDocument {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// Its channel.
    pub channel: ChannelName,
    /// Its ref.
    #[serde(rename = "ref")]
    pub reference: Ref,
    /// The serial of the release that opened it.
    pub serial: Serial,
    /// Where it is.
    pub state: RolloutState,
    /// An operator's mark on it.
    pub mark: Option<RolloutMark>,
    /// By whom and why.
    pub mark_by: Option<MarkBy>,
    /// Whether too many infrastructure failures stand.
    pub frozen: bool,
    /// Why it halted.
    pub halt: Option<Halt>,
    /// With `terminal`: whether every host converged.
    pub outcome: Option<Outcome>,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it became terminal, failed for good or superseded.
    pub finished_at: Option<Timestamp>,
    /// What took its place.
    pub superseded_by: Option<RolloutId>,
    /// The wave being worked on.
    pub current_wave: WaveIndex,
    /// Every wave.
    pub waves: Vec<WaveDocument>,
    /// Standing failures.
    pub failures: FailureCounts,
    /// The hosts the current wave waits for, longest first; at most 20.
    pub waiting_for: Vec<WaitingFor>,
    /// When it is expected to end; `None`: it has, it is not going on, or nobody can know.
    #[serde(default)]
    pub eta: Option<Eta>,
}

/// An operator's mark on a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutMark {
    /// Nothing is dispatched until it is resumed.
    Paused,
    /// Nothing is dispatched any more.
    Aborted,
}

/// By whom and why a mark was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkBy {
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Why a rollout halted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What failed.
    pub reason: String,
    /// The host whose failure halted it.
    pub host: Option<HostName>,
    /// When.
    pub at: Timestamp,
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every host converged.
    Complete,
    /// Some were skipped, or failed within what the policy allows.
    WithExceptions,
}

/// One wave of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveDocument {
    /// Its position, from 0.
    pub index: WaveIndex,
    /// Its name.
    pub name: WaveName,
    /// How long each of its hosts soaks, in seconds.
    pub soak_secs: u64,
    /// Whether a person must approve it.
    pub requires_approval: bool,
    /// Who did.
    pub approved_by: Option<String>,
    /// How many hosts it has.
    pub hosts: u64,
    /// They by state.
    pub by_state: BTreeMap<HostState, u64>,
    /// When it is expected to be done.
    #[serde(default)]
    pub eta: Option<Expected>,
}

/// Standing failures of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FailureCounts {
    /// Of class artifact.
    pub artifact: u64,
    /// Of any other class.
    pub infra: u64,
}

/// A host the current wave waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFor {
    /// The host.
    pub host: HostName,
    /// The gate that holds it, or the state it is in.
    pub gate: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether that passes by itself.
    #[serde(default)]
    pub kind: ReasonKind,
}

/// An item of `/v1/quarantines`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineDocument {
    /// The channel.
    pub channel: ChannelName,
    /// The closure that is not dispatched there any more.
    pub closure: ClosureId,
    /// Since when.
    pub since: Timestamp,
    /// The host whose failure quarantined it.
    pub host: HostName,
    /// The rollout it failed in.
    pub rollout_id: RolloutId,
    /// The attempt that failed.
    pub attempt: Attempt,
    /// What failed.
    pub reason: String,
    /// How the control plane knows.
    pub source: QuarantineSource,
}

/// How the control plane knows of a quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuarantineSource {
    /// From a failure in the log.
    Rollback,
    /// From a rejection in a heartbeat.
    Reported,
}

/// An item of `/v1/events`: one row of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventItem {
    /// Its position, from 1 without gaps.
    pub seq: LogSeq,
    /// When, by whoever caused it.
    pub at: Timestamp,
    /// The host it is about.
    pub host: Option<HostName>,
    /// The rollout it is about.
    pub rollout_id: Option<RolloutId>,
    /// What happened.
    pub kind: String,
    /// Who caused it: `host/NAME`, `operator/NAME`, `control-plane` or `release/SERIAL`.
    pub actor: String,
    /// Whether it is the control plane's own conclusion about a host.
    pub synthetic: bool,
    /// The fields of the kind.
    pub payload: serde_json::Value,
    /// The chained hash up to here, see [`crate::canonical::chain_log`].
    pub chain: Sha256Hash,
}

/// `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether requests are served.
    pub ready: bool,
    /// Why not, as problem codes.
    pub reasons: Vec<String>,
}
