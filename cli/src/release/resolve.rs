//! What `fleet.toml` says about each host once its class, channel and tags are taken into account:
//! the most specific place wins.
//!
//! Not here: waves, edges and budgets.

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::artifact::bundle::Probe;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, ProbeName};
use wavegate_proto::signing::PublicKey;

use super::checks;
use crate::bundle_toml::BundleFile;
use crate::fleet_toml::FleetFile;
use crate::fleet_toml::model::{ClassSection, HostSection};
use crate::fleet_toml::selector::{Selectable, Selectables};
use crate::fleet_toml::source::Complaints;
use crate::suggest;

/// A host with everything that applies to it.
#[derive(Debug, Clone)]
pub(super) struct ResolvedHost<'f> {
    pub(super) channel: &'f ChannelName,
    pub(super) tags: BTreeSet<String>,
    /// Where its tags stand, such as `classes.pi`; `None`: it has none.
    pub(super) tags_from: Option<String>,
    pub(super) runs: Runs<'f>,
    /// The section that named what it runs, such as `channels.stable`.
    pub(super) runs_from: String,
    /// The merged health checks with the section each comes from.
    pub(super) checks: BTreeMap<ProbeName, (String, &'f Probe)>,
    pub(super) public_key: Option<&'f str>,
}

/// What a host runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Runs<'f> {
    /// A bundle, by the path `fleet.toml` writes.
    Bundle(&'f str, &'f BundleFile),
    /// A NixOS system.
    StorePath(&'f ClosureId),
}

/// The hosts by name.
pub(super) type ResolvedHosts<'f> = BTreeMap<&'f HostName, ResolvedHost<'f>>;

/// Resolves every host; hosts that cannot be are left out and complained of.
pub(super) fn hosts<'f>(file: &'f FleetFile, complaints: &mut Complaints<'_>) -> ResolvedHosts<'f> {
    let mut resolved = BTreeMap::new();
    for (name, section) in &file.keys.hosts {
        if let Some(host) = host(file, name, section, complaints) {
            resolved.insert(name, host);
        }
    }
    resolved
}

/// What selectors can see of the hosts.
pub(super) fn selectables(hosts: &ResolvedHosts<'_>) -> Selectables {
    let seen = |host: &ResolvedHost<'_>| Selectable {
        channel: host.channel.clone(),
        tags: host.tags.clone(),
    };
    hosts.iter().map(|(name, host)| ((*name).clone(), seen(host))).collect()
}

fn host<'f>(
    file: &'f FleetFile,
    name: &'f HostName,
    section: &'f HostSection,
    complaints: &mut Complaints<'_>,
) -> Option<ResolvedHost<'f>> {
    let keys = &file.keys;
    let Some(channel) = keys.channels.get(&section.channel) else {
        let known: Vec<&str> = keys.channels.keys().map(ChannelName::as_str).collect();
        complaints.add_with_hint(
            &["hosts", name.as_str(), "channel"],
            format!("unknown channel `{}`", section.channel),
            suggest::hint(section.channel.as_str(), &known),
        );
        return None;
    };
    let class = class_of(file, name, section, complaints)?;
    let own = file.source.listed_at(name.as_str()).unwrap_or_else(|| format!("hosts.{name}"));
    let (class_name, channel_name) =
        (class.map(|(name, _)| format!("classes.{name}")), format!("channels.{}", section.channel));
    let tag_places = [
        (Some(own), section.tags.as_ref()),
        (class_name.clone(), class.and_then(|(_, class)| class.tags.as_ref())),
        (Some(channel_name.clone()), channel.tags.as_ref()),
    ];
    let (tags_from, tags) = tag_places
        .into_iter()
        .find_map(|(place, tags)| Some((place, tags?)))
        .map_or((None, BTreeSet::new()), |(place, tags)| (place, tags.iter().cloned().collect()));
    let pin = keys.pins.get(name).map(|pin| (format!("pins.{name}"), &pin.bundle, &pin.closure));
    let places = [
        pin,
        Some((format!("hosts.{name}"), &section.bundle, &section.closure)),
        class_name.zip(class).map(|(name, (_, class))| (name, &class.bundle, &class.closure)),
        Some((channel_name, &channel.bundle, &channel.closure)),
    ];
    let (runs_from, runs) = runs(file, name, places.into_iter().flatten(), complaints)?;
    if section.public_key.as_ref().is_some_and(|key| key.parse::<PublicKey>().is_err()) {
        complaints.add(
            &["hosts", name.as_str(), "public_key"],
            "public_key is not an Ed25519 public key in base64",
        );
    }
    let checks = checks::merge(keys, name, section, class, &tags, complaints);
    Some(ResolvedHost {
        channel: &section.channel,
        tags,
        tags_from,
        runs,
        runs_from,
        checks,
        public_key: section.public_key.as_deref(),
    })
}

/// The class of a host; the outer `None` when it names one that is not there.
#[allow(clippy::option_option)]
fn class_of<'f>(
    file: &'f FleetFile,
    name: &HostName,
    section: &'f HostSection,
    complaints: &mut Complaints<'_>,
) -> Option<Option<(&'f str, &'f ClassSection)>> {
    let Some(wanted) = &section.class else { return Some(None) };
    if let Some((known, class)) = file.keys.classes.get_key_value(wanted) {
        return Some(Some((known, class)));
    }
    let known: Vec<&str> = file.keys.classes.keys().map(String::as_str).collect();
    complaints.add_with_hint(
        &["hosts", name.as_str(), "class"],
        format!("unknown class `{wanted}`"),
        suggest::hint(wanted, &known),
    );
    None
}

/// The first of `places` that names a bundle or a store path.
fn runs<'f>(
    file: &'f FleetFile,
    host: &HostName,
    places: impl Iterator<Item = (String, &'f Option<String>, &'f Option<ClosureId>)>,
    complaints: &mut Complaints<'_>,
) -> Option<(String, Runs<'f>)> {
    for (place, bundle, closure) in places {
        let keys: Vec<&str> = place.splitn(2, '.').collect();
        match (bundle, closure) {
            (None, None) => {}
            (Some(path), None) => {
                let bundle = file.bundles.get(path)?;
                return Some((place, Runs::Bundle(path, bundle)));
            }
            (None, Some(closure @ ClosureId::StorePath(_))) => {
                return Some((place, Runs::StorePath(closure)));
            }
            (None, Some(ClosureId::Bundle(_))) => {
                complaints.add_with_hint(
                    &[&keys[..], &["closure"]].concat(),
                    "closure takes a store path, not a hash",
                    Some("name the bundle file with `bundle`".to_owned()),
                );
                return None;
            }
            (Some(_), Some(_)) => {
                complaints.add(&keys, format!("{place}: give either `bundle` or `closure`"));
                return None;
            }
        }
    }
    complaints.add(
        &["hosts", host.as_str()],
        format!("host {host} has no bundle and no closure, nor has its class or channel"),
    );
    None
}
