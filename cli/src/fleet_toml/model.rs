//! The keys of `fleet.toml`. Unknown ones are refused (O5).
//!
//! Not here: whether the names in it fit together (see [`crate::release`]).

use std::collections::BTreeMap;

use serde::Deserialize;
use wavegate_proto::ids::{
    BudgetId, ChannelName, ClosureId, FleetName, HostName, PersonName, ProviderId,
};

use super::check::HealthCheck;
use super::enroll::EnrollSection;
use super::policy::RolloutPolicy;
use super::scalar::{Seconds, UtcTime};
use super::selector::Selector;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetToml {
    /// `[fleet]`.
    pub fleet: FleetSection,
    /// `[channels.NAME]`.
    #[serde(default)]
    pub channels: BTreeMap<ChannelName, ChannelSection>,
    /// `[rollout_policies.NAME]`.
    #[serde(default)]
    pub rollout_policies: BTreeMap<String, RolloutPolicy>,
    /// `[classes.NAME]`.
    #[serde(default)]
    pub classes: BTreeMap<String, ClassSection>,
    /// `[tags.NAME]`.
    #[serde(default)]
    pub tags: BTreeMap<String, TagSection>,
    /// `[hosts.NAME]`, and the hosts of the file that `[hosts_from]` names.
    #[serde(default)]
    pub hosts: BTreeMap<HostName, HostSection>,
    /// `[hosts_from]`.
    pub hosts_from: Option<HostsFrom>,
    /// `[pins.HOST]`.
    #[serde(default)]
    pub pins: BTreeMap<HostName, PinSection>,
    /// `[[edges]]`.
    #[serde(default)]
    pub edges: Vec<HostEdge>,
    /// `[[channel_edges]]`.
    #[serde(default)]
    pub channel_edges: Vec<ChannelEdgeKeys>,
    /// `[[disruption_budgets]]`.
    #[serde(default)]
    pub disruption_budgets: Vec<DisruptionBudget>,
    /// `[[health_checks]]`, for the whole fleet.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
    /// `[[revoked]]`.
    #[serde(default)]
    pub revoked: Vec<RevokedKeys>,
    /// `[operators.NAME]`.
    #[serde(default)]
    pub operators: BTreeMap<PersonName, OperatorSection>,
    /// `[enroll]`.
    pub enroll: Option<EnrollSection>,
}

/// `[operators.NAME]`: an operator who may act on these channels only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorSection {
    /// The channels.
    pub channels: Vec<ChannelName>,
}

/// `[fleet]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSection {
    /// Its name.
    pub name: FleetName,
}

/// `[channels.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSection {
    /// The policy of its rollouts.
    pub rollout_policy: String,
    /// How long a signature counts as fresh.
    #[serde(default = "one_day")]
    pub freshness_window: Seconds,
    /// The bundle of hosts that name none.
    pub bundle: Option<String>,
    /// The store path of hosts that name none.
    pub closure: Option<ClosureId>,
    /// The tags of hosts that name none.
    pub tags: Option<Vec<String>>,
    /// Health checks of its hosts.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
}

fn one_day() -> Seconds {
    Seconds(86_400)
}

/// `[classes.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSection {
    /// The bundle of hosts that name none.
    pub bundle: Option<String>,
    /// The store path of hosts that name none.
    pub closure: Option<ClosureId>,
    /// The tags of hosts that name none.
    pub tags: Option<Vec<String>>,
    /// Health checks of its hosts.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
}

/// `[tags.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagSection {
    /// Health checks of the hosts that have the tag.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
}

/// `[hosts.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSection {
    /// Its channel.
    pub channel: ChannelName,
    /// Its class.
    pub class: Option<String>,
    /// Its tags.
    pub tags: Option<Vec<String>>,
    /// Its bundle.
    pub bundle: Option<String>,
    /// Its store path.
    pub closure: Option<ClosureId>,
    /// Its own key, base64, where it is pinned.
    pub public_key: Option<String>,
    /// Its machine's name with its provider: for scripts that tell what the provider says. It is not signed.
    pub provider_id: Option<ProviderId>,
    /// Its own health checks.
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
}

/// `[hosts_from]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostsFrom {
    /// A CSV file with more hosts, beside `fleet.toml`.
    pub file: String,
}

/// `[pins.HOST]`: one host that runs something else for a while.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinSection {
    /// The bundle it runs instead.
    pub bundle: Option<String>,
    /// The store path it runs instead.
    pub closure: Option<ClosureId>,
    /// From when on nothing is built with this pin.
    pub until: UtcTime,
    /// Why.
    pub reason: String,
}

/// `[[edges]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEdge {
    /// These converge first.
    pub before: Selector,
    /// These wait for them.
    pub after: Selector,
    /// Why.
    pub reason: Option<String>,
}

/// `[[channel_edges]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelEdgeKeys {
    /// Goes first.
    pub before: ChannelName,
    /// Waits for it.
    pub after: ChannelName,
    /// Why.
    pub reason: Option<String>,
}

/// `[[disruption_budgets]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisruptionBudget {
    /// Its name.
    pub id: BudgetId,
    /// Its members.
    pub hosts: Selector,
    /// The most members that may use a slot.
    pub max_in_flight: Option<u32>,
    /// The same as a share of the members, rounded down, at least 1.
    pub max_in_flight_pct: Option<u32>,
}

/// `[[revoked]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedKeys {
    /// `host/NAME`, `operator/NAME` or `viewer/NAME`.
    pub subject: String,
    /// Certificates issued earlier count no more.
    pub not_before: UtcTime,
    /// Why.
    pub reason: Option<String>,
}
