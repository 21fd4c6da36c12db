//! What waits for what: the resources of every host, with their dependencies on the same host and on others,
//! and the order of hosts.
//!
//! It is read from a release that was built, so what is shown is what agents will follow. Not here: building,
//! which refuses cycles (see [`crate::release`]); drawing (see [`draw`]).

pub mod draw;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wavegate_agent::resources::error::ResourceError;
use wavegate_agent::resources::graph::Graph;
use wavegate_proto::artifact::bundle::{Bundle, BundleError, Dependency};
use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::ids::{ChannelName, HostName, ResourceId, WaveIndex};
use wavegate_proto::wire::agent::ResourceRef;
use wavegate_proto::wire::resource::ResourceKind;

use crate::release::BuiltRelease;

/// Everything that waits, by host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dag {
    /// The hosts, by name.
    pub hosts: Vec<HostNode>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostNode {
    /// Its name.
    pub host: HostName,
    /// Its channel.
    pub channel: ChannelName,
    /// Its wave, from 0.
    pub wave: WaveIndex,
    /// The hosts that must have converged before.
    pub after: Vec<HostName>,
    /// Its resources, in the order in which they start.
    pub resources: Vec<ResourceNode>,
}

/// One resource of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceNode {
    /// Its id.
    pub id: ResourceId,
    /// Its kind.
    pub kind: ResourceKind,
    /// What must be completed before it on the same host: dependencies, members, units it restarts on.
    pub needs: Vec<ResourceId>,
    /// What must be completed before it on other hosts.
    pub needs_elsewhere: Vec<ResourceRef>,
    /// Whether going back past it is refused.
    pub one_way: bool,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Hosts.
    pub hosts: usize,
    /// Resources.
    pub resources: usize,
    /// Dependencies between resources of one host.
    pub dependencies: usize,
    /// Dependencies between resources of different hosts.
    pub across_hosts: usize,
    /// Pairs of hosts that go one after the other.
    pub host_edges: usize,
}

/// Why there is no such picture.
#[derive(Debug, thiserror::Error)]
pub enum DagError {
    /// A line of a hosts table.
    #[error("read the hosts of the release: {0}")]
    Entry(#[from] serde_json::Error),
    /// A closure.
    #[error("read the closure of {0}: {1}")]
    Closure(HostName, BundleError),
    /// A bundle that contradicts itself.
    #[error("order the resources of {0}: {1}")]
    Order(HostName, ResourceError),
    /// No such host.
    #[error("find host {0}: fleet.toml has none of this name")]
    UnknownHost(HostName),
}

impl Dag {
    /// Of everything in a release; a host that runs a store path has no resources.
    ///
    /// # Errors
    /// When the release cannot be read, which would be a fault of its building.
    pub fn of(built: &BuiltRelease) -> Result<Self, DagError> {
        let mut hosts = Vec::new();
        for (rollout, files) in &built.rollouts {
            for line in files.hosts.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let entry: HostEntry = serde_json::from_slice(line)?;
                let document = entry.closure.blob().and_then(|blob| built.closures.get(&blob));
                let resources = match document {
                    None => Vec::new(),
                    Some(bytes) => resources(&entry.host, bytes)?,
                };
                let HostEntry { host, wave, after, .. } = entry;
                hosts.push(HostNode {
                    host,
                    channel: rollout.channel.clone(),
                    wave,
                    after,
                    resources,
                });
            }
        }
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        Ok(Self { hosts })
    }

    /// Only this host.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn only(mut self, host: &HostName) -> Result<Self, DagError> {
        self.hosts.retain(|node| node.host == *host);
        if self.hosts.is_empty() { Err(DagError::UnknownHost(host.clone())) } else { Ok(self) }
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let resources = || self.hosts.iter().flat_map(|host| &host.resources);
        Counts {
            hosts: self.hosts.len(),
            resources: resources().count(),
            dependencies: resources().map(|resource| resource.needs.len()).sum(),
            across_hosts: resources().map(|resource| resource.needs_elsewhere.len()).sum(),
            host_edges: self.hosts.iter().map(|host| host.after.len()).sum(),
        }
    }

    /// What stands in for hosts that are named and not shown: their resources that somebody needs.
    fn elsewhere(&self) -> BTreeMap<&HostName, BTreeSet<&ResourceId>> {
        let shown: BTreeSet<&HostName> = self.hosts.iter().map(|node| &node.host).collect();
        let mut elsewhere: BTreeMap<&HostName, BTreeSet<&ResourceId>> = BTreeMap::new();
        for node in &self.hosts {
            for host in node.after.iter().filter(|host| !shown.contains(host)) {
                elsewhere.entry(host).or_default();
            }
            for of in node.resources.iter().flat_map(|resource| &resource.needs_elsewhere) {
                if !shown.contains(&of.host) {
                    elsewhere.entry(&of.host).or_default().insert(&of.resource);
                }
            }
        }
        elsewhere
    }
}

fn resources(host: &HostName, document: &[u8]) -> Result<Vec<ResourceNode>, DagError> {
    let bundle = Bundle::parse(document).map_err(|e| DagError::Closure(host.clone(), e))?;
    let graph = Graph::of(&bundle).map_err(|e| DagError::Order(host.clone(), e))?;
    let node = |position: &usize| {
        let resource = &bundle.resources[*position];
        let mut needs = Vec::new();
        for need in graph.needs(*position) {
            let id = &bundle.resources[*need].id;
            if !needs.contains(id) {
                needs.push(id.clone());
            }
        }
        let elsewhere = resource.depends_on.iter().filter_map(|dependency| match dependency {
            Dependency::Here(_) => None,
            Dependency::There { host, resource } => {
                Some(ResourceRef { host: host.clone(), resource: resource.clone() })
            }
        });
        ResourceNode {
            id: resource.id.clone(),
            kind: resource.spec.kind(),
            needs,
            needs_elsewhere: elsewhere.collect(),
            one_way: resource.one_way,
        }
    };
    Ok(graph.order().iter().map(node).collect())
}
