//! Health checks from four scopes (and classes), merged by name: host over tag over class over
//! channel over fleet; the result goes over the bundle's own probes.
//!
//! Not here: reading a check (see [`crate::fleet_toml::check`]).

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::artifact::bundle::Probe;
use wavegate_proto::ids::{HostName, ProbeName};

use crate::fleet_toml::check::HealthCheck;
use crate::fleet_toml::model::{ClassSection, FleetToml, HostSection};
use crate::fleet_toml::source::Complaints;

/// Merged checks, each with the section it comes from.
pub(super) type Merged<'f> = BTreeMap<ProbeName, (String, &'f Probe)>;

/// The checks of one host.
pub(super) fn merge<'f>(
    keys: &'f FleetToml,
    name: &HostName,
    host: &'f HostSection,
    class: Option<(&'f str, &'f ClassSection)>,
    tags: &BTreeSet<String>,
    complaints: &mut Complaints<'_>,
) -> Merged<'f> {
    let mut merged = Merged::new();
    add(&mut merged, "fleet", &keys.health_checks);
    if let Some(channel) = keys.channels.get(&host.channel) {
        add(&mut merged, &format!("channels.{}", host.channel), &channel.health_checks);
    }
    if let Some((class_name, class)) = class {
        add(&mut merged, &format!("classes.{class_name}"), &class.health_checks);
    }
    let mut by_tag: BTreeMap<&ProbeName, &str> = BTreeMap::new();
    for tag in tags {
        let Some(section) = keys.tags.get(tag) else { continue };
        for HealthCheck(probe) in &section.health_checks {
            if let Some(other) = by_tag.insert(&probe.name, tag).filter(|other| *other != tag) {
                complaints.add(
                    &["tags", tag],
                    format!(
                        "host {name} gets health check `{}` from two tags, {other} and {tag}",
                        probe.name
                    ),
                );
            }
        }
        add(&mut merged, &format!("tags.{tag}"), &section.health_checks);
    }
    add(&mut merged, &format!("hosts.{name}"), &host.health_checks);
    merged
}

fn add<'f>(merged: &mut Merged<'f>, scope: &str, checks: &'f [HealthCheck]) {
    for HealthCheck(probe) in checks {
        merged.insert(probe.name.clone(), (scope.to_owned(), probe));
    }
}

/// Complains of names that stand twice in one section.
pub(super) fn refuse_doubles(keys: &FleetToml, complaints: &mut Complaints<'_>) {
    let mut look = |place: &[&str], checks: &[HealthCheck]| {
        let mut seen = BTreeSet::new();
        for (index, HealthCheck(probe)) in checks.iter().enumerate() {
            if !seen.insert(&probe.name) {
                let index = index.to_string();
                let place = [place, &["health_checks", &index, "name"]].concat();
                complaints.add(&place, format!("a second health check {}", probe.name));
            }
        }
    };
    look(&[], &keys.health_checks);
    keys.channels.iter().for_each(|(n, s)| look(&["channels", n.as_str()], &s.health_checks));
    keys.classes.iter().for_each(|(n, s)| look(&["classes", n], &s.health_checks));
    keys.tags.iter().for_each(|(n, s)| look(&["tags", n], &s.health_checks));
    keys.hosts.iter().for_each(|(n, s)| look(&["hosts", n.as_str()], &s.health_checks));
}

/// The bundle's probes with the checks of `fleet.toml` over them: replaced in place, new ones after.
pub(super) fn over(probes: &[Probe], checks: &Merged<'_>) -> Vec<Probe> {
    let replaced = probes.iter().map(|probe| {
        checks.get(&probe.name).map_or_else(|| probe.clone(), |(_, check)| (*check).clone())
    });
    let own: BTreeSet<&ProbeName> = probes.iter().map(|probe| &probe.name).collect();
    let added = checks.values().map(|(_, check)| *check).filter(|check| !own.contains(&check.name));
    replaced.chain(added.cloned()).collect()
}
