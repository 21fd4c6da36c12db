//! What a person is told about a release that was built.
//!
//! Not here: printing it (see [`crate::show`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wavegate_proto::ids::{
    ChannelName, ClosureId, FleetName, HostName, ProbeName, Ref, Serial, WaveIndex, WaveName,
};

use super::closures::Closures;
use super::documents::Stamp;
use super::pins::{Pin, Pins};
use super::resolve::ResolvedHosts;
use super::waves::Waves;
use super::windows;
use crate::fleet_toml::FleetFile;

/// What was built.
#[derive(Debug, Clone, Serialize)]
pub struct BuildReport {
    /// The fleet.
    pub fleet: FleetName,
    /// The serial.
    pub serial: Serial,
    /// The channels.
    pub channels: Vec<ChannelReport>,
    /// The hosts.
    pub hosts: Vec<HostReport>,
    /// What a person should know before publishing.
    pub warnings: Vec<String>,
}

/// One channel of a release.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelReport {
    /// The channel.
    pub channel: ChannelName,
    /// Its ref.
    #[serde(rename = "ref")]
    pub reference: Ref,
    /// Where the ref comes from.
    pub ref_origin: RefOrigin,
    /// Its waves.
    pub waves: Vec<WaveReport>,
}

/// Where a ref comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefOrigin {
    /// The content is the same as in the previous release: no rollout opens.
    Kept,
    /// Made from the serial.
    New,
    /// Chosen with `--ref`.
    Named,
}

/// One wave of a channel.
#[derive(Debug, Clone, Serialize)]
pub struct WaveReport {
    /// Its name.
    pub name: WaveName,
    /// The number of its hosts.
    pub hosts: usize,
}

/// One host of a release.
#[derive(Debug, Clone, Serialize)]
pub struct HostReport {
    /// The host.
    pub host: HostName,
    /// Its wave.
    pub wave: WaveIndex,
    /// What it runs.
    pub closure: ClosureId,
    /// The section of `fleet.toml` that says so.
    pub from: String,
    /// The pin that holds it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// Where they stand.
    pub tags_from: Option<String>,
    /// Its health checks of `fleet.toml`, each with the section it comes from.
    pub checks: BTreeMap<ProbeName, String>,
}

pub(super) fn make(
    file: &FleetFile,
    stamp: &Stamp,
    refs: &BTreeMap<ChannelName, (Ref, RefOrigin)>,
    hosts: &ResolvedHosts<'_>,
    (waves, closures, pins): (&Waves, &Closures, &Pins),
) -> BuildReport {
    let channel =
        |(channel, (reference, ref_origin)): (&ChannelName, &(Ref, RefOrigin))| ChannelReport {
            channel: channel.clone(),
            reference: reference.clone(),
            ref_origin: *ref_origin,
            waves: wave_reports(file, channel, hosts, waves),
        };
    let host = |name: &&HostName| {
        let host = hosts.get(name)?;
        let sources = host.checks.iter().map(|(check, (scope, _))| (check.clone(), scope.clone()));
        Some(HostReport {
            host: (*name).clone(),
            wave: waves.get(*name).copied()?,
            closure: closures.of.get(*name)?.closure.clone(),
            from: host.runs_from.clone(),
            pin: pins.get(*name).cloned(),
            tags: host.tags.clone(),
            tags_from: host.tags_from.clone(),
            checks: sources.collect(),
        })
    };
    let channels: Vec<_> = refs.iter().map(channel).collect();
    BuildReport {
        fleet: stamp.fleet.clone(),
        serial: stamp.serial,
        warnings: warnings(file, stamp, &channels, pins),
        channels,
        hosts: hosts.keys().filter_map(host).collect(),
    }
}

fn wave_reports(
    file: &FleetFile,
    channel: &ChannelName,
    hosts: &ResolvedHosts<'_>,
    waves: &Waves,
) -> Vec<WaveReport> {
    let mut counts: BTreeMap<WaveIndex, usize> = BTreeMap::new();
    let members = hosts.iter().filter(|(_, host)| host.channel == channel);
    for wave in members.filter_map(|(name, _)| waves.get(*name)) {
        *counts.entry(*wave).or_default() += 1;
    }
    let section = file.keys.channels.get(channel);
    let policy = section.and_then(|s| file.keys.rollout_policies.get(&s.rollout_policy));
    let named = policy.into_iter().flat_map(|policy| (0..).map(WaveIndex).zip(&policy.waves));
    named
        .map(|(index, wave)| WaveReport {
            name: wave.name.clone(),
            hosts: counts.get(&index).copied().unwrap_or(0),
        })
        .collect()
}

fn warnings(
    file: &FleetFile,
    stamp: &Stamp,
    channels: &[ChannelReport],
    pins: &Pins,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for channel in channels.iter().filter(|c| c.waves.iter().all(|wave| wave.hosts == 0)) {
        warnings.push(format!("channel {} has no hosts and gets no rollout", channel.channel));
    }
    let (now, policies) = (stamp.signed_at, &file.keys.rollout_policies);
    warnings.extend(policies.iter().filter_map(|(name, p)| windows::warning(name, p, now)));
    for (channel, section) in &file.keys.channels {
        let policy = policies.get(&section.rollout_policy);
        warnings.extend(policy.and_then(|policy| {
            windows::stale_warning(channel, policy, section.freshness_window, now)
        }));
    }
    for (host, Pin { until, reason }) in pins {
        warnings.push(format!("host {host} is pinned until {until}: {reason}"));
    }
    warnings
}
