//! Dependencies inside one bundle: every name exists, and there is an order.
//!
//! Not here: dependencies on other hosts (see `release/order.rs`).

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use wavegate_proto::artifact::bundle::{Dependency, Resource};

use crate::fleet_toml::source::Complaints;
use crate::suggest;

/// Complains of unknown names and of cycles.
pub(super) fn check(resources: &[Resource], complaints: &mut Complaints<'_>) {
    let mut graph = DiGraph::<usize, ()>::new();
    let nodes: Vec<_> = (0..resources.len()).map(|index| graph.add_node(index)).collect();
    let by_id: BTreeMap<&str, usize> =
        resources.iter().enumerate().map(|(index, r)| (r.id.as_str(), index)).collect();
    for (index, resource) in resources.iter().enumerate() {
        let place = index.to_string();
        for dependency in &resource.depends_on {
            let Dependency::Here(id) = dependency else { continue };
            if let Some(before) = by_id.get(id.as_str()) {
                graph.add_edge(nodes[*before], nodes[index], ());
                continue;
            }
            let known: Vec<&str> = by_id.keys().copied().collect();
            complaints.add_with_hint(
                &["resources", &place, "depends_on"],
                format!("resource {} depends on unknown resource `{id}`", resource.id),
                suggest::hint(id.as_str(), &known),
            );
        }
    }
    for group in tarjan_scc(&graph) {
        let looped = group.len() > 1 || group.iter().any(|n| graph.contains_edge(*n, *n));
        let Some(first) = group.iter().map(|node| graph[*node]).min() else { continue };
        if looped {
            let mut names: Vec<_> =
                group.iter().map(|node| resources[graph[*node]].id.as_str()).collect();
            names.sort_unstable();
            complaints.add(
                &["resources", &first.to_string(), "depends_on"],
                format!("dependencies form a cycle: {}", names.join(", ")),
            );
        }
    }
}
