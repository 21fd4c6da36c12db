//! Dependencies between resources of different hosts, and whether all waiting can end: one graph of
//! host edges and resource dependencies, without a cycle.
//!
//! Not here: dependencies inside one bundle (see [`crate::bundle_toml`]).

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use wavegate_proto::artifact::bundle::Dependency;
use wavegate_proto::ids::{HostName, ResourceId};

use super::budgets::ResolvedBudget;
use super::edges::{After, ChannelOrder};
use super::resolve::{ResolvedHost, ResolvedHosts, Runs};
use super::waves::Waves;
use crate::fleet_toml::source::Complaints;

/// Everything the order of a release depends on.
pub(super) struct Ordering<'a, 'f> {
    pub(super) hosts: &'a ResolvedHosts<'f>,
    pub(super) waves: &'a Waves,
    pub(super) after: &'a After,
    pub(super) channels: &'a ChannelOrder<'f>,
    pub(super) budgets: &'a [ResolvedBudget],
}

/// A moment of a rollout that others may wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Dispatched(HostName),
    Completed(HostName, ResourceId),
    Converged(HostName),
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dispatched(host) | Self::Converged(host) => write!(f, "{host}"),
            Self::Completed(host, resource) => write!(f, "{host}/{resource}"),
        }
    }
}

#[derive(Default)]
struct Moments {
    graph: DiGraph<Moment, ()>,
    nodes: BTreeMap<Moment, NodeIndex>,
}

impl Moments {
    fn node(&mut self, moment: Moment) -> NodeIndex {
        let graph = &mut self.graph;
        *self.nodes.entry(moment).or_insert_with_key(|moment| graph.add_node(moment.clone()))
    }

    fn order(&mut self, before: Moment, after: Moment) {
        let (before, after) = (self.node(before), self.node(after));
        self.graph.update_edge(before, after, ());
    }

    fn add_host(&mut self, name: &HostName, host: &ResolvedHost<'_>) {
        let Runs::Bundle(_, file) = host.runs else {
            self.order(Moment::Dispatched(name.clone()), Moment::Converged(name.clone()));
            return;
        };
        for resource in &file.bundle.resources {
            let completed = Moment::Completed(name.clone(), resource.id.clone());
            self.order(Moment::Dispatched(name.clone()), completed.clone());
            self.order(completed.clone(), Moment::Converged(name.clone()));
            for dependency in &resource.depends_on {
                let before = match dependency {
                    Dependency::Here(id) => Moment::Completed(name.clone(), id.clone()),
                    Dependency::There { host, resource } => {
                        Moment::Completed(host.clone(), resource.clone())
                    }
                };
                self.order(before, completed.clone());
            }
        }
    }
}

/// Complains of dependencies that cannot be met and of cycles.
pub(super) fn check(ordering: &Ordering<'_, '_>, complaints: &mut Complaints<'_>) {
    let mut any_remote = false;
    for (name, host) in ordering.hosts {
        let Runs::Bundle(_, file) = host.runs else { continue };
        for (index, resource) in file.bundle.resources.iter().enumerate() {
            for dependency in &resource.depends_on {
                let Dependency::There { host: on, resource: wanted } = dependency else { continue };
                any_remote = true;
                if let Some(message) = refusal(ordering, name, host, on, wanted) {
                    let index = index.to_string();
                    let place = ["resources", index.as_str(), "depends_on"];
                    let message = format!("resource {} on host {name}: {message}", resource.id);
                    complaints.push(file.source.error_at(&place, message));
                }
            }
        }
    }
    if any_remote || !ordering.after.is_empty() {
        check_cycles(ordering, complaints);
    }
}

/// Why `name` may not wait for resource `wanted` of host `on`.
fn refusal(
    ordering: &Ordering<'_, '_>,
    name: &HostName,
    host: &ResolvedHost<'_>,
    on: &HostName,
    wanted: &ResourceId,
) -> Option<String> {
    if on == name {
        return Some(format!("{on} is this host; name the resource alone"));
    }
    let Some(other) = ordering.hosts.get(on) else { return Some(format!("unknown host `{on}`")) };
    let Runs::Bundle(path, file) = other.runs else {
        return Some(format!("host {on} runs a store path, which has no resources"));
    };
    if !file.bundle.resources.iter().any(|resource| resource.id == *wanted) {
        return Some(format!("host {on} has no resource `{wanted}` (bundle {path:?})"));
    }
    if other.channel == host.channel {
        if ordering.waves.get(on) > ordering.waves.get(name) {
            return Some(format!("host {on} is in a later wave"));
        }
    } else if !ordering.channels.goes_before(other.channel, host.channel) {
        return Some(format!(
            "host {on} is on channel {}, which no channel edge puts before {}",
            other.channel, host.channel
        ));
    }
    let tight = ordering.budgets.iter().find(|b| {
        b.budget.max_in_flight < 2 && b.members.contains(on) && b.members.contains(name)
    })?;
    Some(format!(
        "it shares budget {} with host {on}, which lets only one through",
        tight.budget.id
    ))
}

fn check_cycles(ordering: &Ordering<'_, '_>, complaints: &mut Complaints<'_>) {
    let mut moments = Moments::default();
    for (name, host) in ordering.hosts {
        moments.add_host(name, host);
    }
    for (then, firsts) in ordering.after {
        for first in firsts {
            moments.order(Moment::Converged(first.clone()), Moment::Dispatched(then.clone()));
        }
    }
    for group in tarjan_scc(&moments.graph) {
        if group.len() < 2 {
            continue;
        }
        let mut names: Vec<String> =
            group.iter().map(|node| moments.graph[*node].to_string()).collect();
        names.sort_unstable();
        names.dedup();
        let place: &[&str] = if ordering.after.is_empty() { &[] } else { &["edges"] };
        complaints.add(place, format!("edges and dependencies form a cycle: {}", names.join(", ")));
    }
}
