//! Writing the documents of a release: hosts tables, headers, the fleet document.
//!
//! Not here: deciding what is in them.

use std::collections::BTreeMap;

use serde_json::Value;
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::fleet::{
    ChannelEdge, FleetChannel, FleetDocument, FleetHost, OperatorScope, Revocation,
};
use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::artifact::policy::{Budget, Policy};
use wavegate_proto::artifact::release::content_id;
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::ids::{
    BudgetId, ChannelName, FleetName, HostName, PersonName, Ref, Serial, Sha256Hash, WaveIndex,
};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::time::Timestamp;

use super::budgets::ResolvedBudget;
use super::closures::Closures;
use super::edges::After;
use super::resolve::ResolvedHosts;
use super::waves::Waves;
use super::{BuildError, BuiltRollout};
use crate::fleet_toml::enroll::EnrollSection;
use crate::fleet_toml::model::FleetToml;

/// One channel's rollout before it has a ref.
pub(super) struct Draft {
    policy: Policy,
    budgets: Vec<Budget>,
    hosts: Vec<u8>,
    pub(super) host_count: u64,
    host_root: Sha256Hash,
    freshness_window_secs: u64,
}

/// What all headers of a release share.
pub(super) struct Stamp {
    pub(super) fleet: FleetName,
    pub(super) serial: Serial,
    pub(super) signed_at: Timestamp,
}

/// Drafts the rollout of `channel`; `None` when it has no hosts.
pub(super) fn draft(
    keys: &FleetToml,
    channel: &ChannelName,
    hosts: &ResolvedHosts<'_>,
    (waves, after, budgets, closures): (&Waves, &After, &[ResolvedBudget], &Closures),
) -> Option<Draft> {
    let section = keys.channels.get(channel)?;
    let policy = keys.rollout_policies.get(&section.rollout_policy)?;
    let mut lines = Vec::new();
    let mut used: BTreeMap<BudgetId, Budget> = BTreeMap::new();
    for name in hosts.iter().filter(|(_, host)| host.channel == channel).map(|(name, _)| *name) {
        let mine = budgets.iter().filter(|budget| budget.members.contains(name));
        let mine: Vec<Budget> = mine.map(|budget| budget.budget.clone()).collect();
        let closure = closures.of.get(name)?;
        let entry = HostEntry {
            after: after.get(name).into_iter().flatten().cloned().collect(),
            budgets: mine.iter().map(|budget| budget.id.clone()).collect(),
            checks: closure.checks,
            closure: closure.closure.clone(),
            host: name.clone(),
            wave: waves.get(name).copied().unwrap_or(WaveIndex(0)),
        };
        used.extend(mine.into_iter().map(|budget| (budget.id.clone(), budget)));
        lines.push(canonical_bytes(&serde_json::to_value(&entry).ok()?));
    }
    if lines.is_empty() {
        return None;
    }
    let tree = MerkleTree::new(lines.iter().map(Vec::as_slice));
    let mut table = Vec::new();
    for line in &lines {
        table.extend_from_slice(line);
        table.push(b'\n');
    }
    Some(Draft {
        policy: policy.to_signed(),
        budgets: used.into_values().collect(),
        hosts: table,
        host_count: u64::try_from(lines.len()).unwrap_or(u64::MAX),
        host_root: tree.root(),
        freshness_window_secs: section.freshness_window.0,
    })
}

impl Draft {
    fn header(
        &self,
        stamp: &Stamp,
        channel: &ChannelName,
        reference: &Ref,
        fleet_sha256: Sha256Hash,
    ) -> Result<Value, BuildError> {
        let header = RolloutHeader {
            schema_version: 1,
            fleet: stamp.fleet.clone(),
            serial: stamp.serial,
            signed_at: stamp.signed_at,
            channel: channel.clone(),
            reference: reference.clone(),
            freshness_window_secs: self.freshness_window_secs,
            fleet_sha256,
            policy: self.policy.clone(),
            budgets: self.budgets.clone(),
            host_count: self.host_count,
            host_root: self.host_root,
        };
        serde_json::to_value(header).map_err(BuildError::Encoding)
    }

    /// What `reference` would be bound to with this content.
    pub(super) fn content_id(
        &self,
        stamp: &Stamp,
        channel: &ChannelName,
        reference: &Ref,
    ) -> Result<Sha256Hash, BuildError> {
        let header = self.header(stamp, channel, reference, Sha256Hash::default())?;
        Ok(content_id(&header))
    }

    /// The files of the rollout.
    pub(super) fn finish(
        self,
        stamp: &Stamp,
        channel: &ChannelName,
        reference: &Ref,
        fleet_sha256: Sha256Hash,
    ) -> Result<BuiltRollout, BuildError> {
        let header = canonical_bytes(&self.header(stamp, channel, reference, fleet_sha256)?);
        Ok(BuiltRollout { header, hosts: self.hosts })
    }
}

/// The canonical bytes of the fleet document.
pub(super) fn fleet(
    keys: &FleetToml,
    stamp: &Stamp,
    refs: &BTreeMap<ChannelName, Ref>,
    hosts: &ResolvedHosts<'_>,
    closures: &Closures,
    (revoked, operators): (Vec<Revocation>, BTreeMap<PersonName, OperatorScope>),
) -> Result<Vec<u8>, BuildError> {
    let channel = |(name, reference): (&ChannelName, &Ref)| {
        let section = keys.channels.get(name)?;
        let channel = FleetChannel {
            reference: reference.clone(),
            rollout_policy: section.rollout_policy.clone(),
            freshness_window_secs: section.freshness_window.0,
        };
        Some((name.clone(), channel))
    };
    let host = |name: &HostName| {
        let host = hosts.get(name)?;
        Some(FleetHost {
            channel: host.channel.clone(),
            tags: host.tags.iter().cloned().collect(),
            closure: closures.of.get(name)?.closure.clone(),
            public_key: host.public_key.map(str::to_owned),
        })
    };
    let edge = |edge: &crate::fleet_toml::model::ChannelEdgeKeys| ChannelEdge {
        before: edge.before.clone(),
        after: edge.after.clone(),
        reason: edge.reason.clone(),
    };
    let document = FleetDocument {
        schema_version: 1,
        fleet: stamp.fleet.clone(),
        serial: stamp.serial,
        signed_at: stamp.signed_at,
        channels: refs.iter().filter_map(channel).collect(),
        hosts: hosts.keys().filter_map(|name| Some(((*name).clone(), host(name)?))).collect(),
        channel_edges: keys.channel_edges.iter().map(edge).collect(),
        revoked,
        operators,
        enroll: keys.enroll.as_ref().map(EnrollSection::to_signed),
    };
    let value = serde_json::to_value(document).map_err(BuildError::Encoding)?;
    Ok(canonical_bytes(&value))
}
