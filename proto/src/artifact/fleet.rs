//! `fleet.json`: which hosts there are, on which channel, with which closure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{
    ChannelName, ClosureId, EnrollNonce, FleetName, HostName, PersonName, Ref, Serial,
};
use crate::time::{Timestamp, whole_seconds};

/// The most bytes of `fleet.json` or a hosts table.
pub const MAX_FLEET_BYTES: usize = 256 * 1024 * 1024;

/// The fleet document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetDocument {
    /// 1.
    pub schema_version: u32,
    /// The fleet.
    pub fleet: FleetName,
    /// The release's serial; it only rises.
    pub serial: Serial,
    /// When it was signed.
    #[serde(with = "whole_seconds")]
    pub signed_at: Timestamp,
    /// The channels.
    pub channels: BTreeMap<ChannelName, FleetChannel>,
    /// The hosts.
    pub hosts: BTreeMap<HostName, FleetHost>,
    /// Which channel goes before which.
    pub channel_edges: Vec<ChannelEdge>,
    /// Certificates that count no more.
    pub revoked: Vec<Revocation>,
    /// Operators who may act on some channels only. Whoever is not named may act on all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operators: BTreeMap<PersonName, OperatorScope>,
    /// What enrollment tokens must have beyond a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enroll: Option<FleetEnroll>,
}

/// What an operator may act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorScope {
    /// These channels, their rollouts, and the hosts on them.
    pub channels: BTreeSet<ChannelName>,
}

/// A channel in the fleet document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetChannel {
    /// Its current ref.
    #[serde(rename = "ref")]
    pub reference: Ref,
    /// The name of its policy in `fleet.toml`.
    pub rollout_policy: String,
    /// How long a signature counts as fresh, in seconds.
    pub freshness_window_secs: u64,
}

/// A host in the fleet document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetHost {
    /// Its channel.
    pub channel: ChannelName,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it should run.
    pub closure: ClosureId,
    /// Its own key, base64, where it is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// One channel goes before another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEdge {
    /// Goes first.
    pub before: ChannelName,
    /// Waits for it.
    pub after: ChannelName,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Certificates of a subject that were issued before a cut-off count no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// `host/web-07`, `operator/alice` or `viewer/bob`.
    pub subject: String,
    /// The cut-off: refused if the certificate's notBefore is earlier.
    #[serde(with = "whole_seconds")]
    pub not_before: Timestamp,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What enrollment tokens must have beyond a signature. Without it: mode `open`, no groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetEnroll {
    /// How tokens without a key are judged.
    #[serde(default)]
    pub mode: EnrollMode,
    /// In mode `strict`: what a token without a key must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<EnrollNonce>,
    /// Whether tokens for every host of a pattern count.
    #[serde(default)]
    pub group_tokens: bool,
}

/// How tokens that are not bound to a host's key are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnrollMode {
    /// Once, as far as the control plane's database remembers.
    #[default]
    Open,
    /// Once, also after the database was lost: the token carries the nonce of the fleet document and
    /// was issued after the database was made.
    Strict,
}
