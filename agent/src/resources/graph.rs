//! The order of a bundle's resources: dependencies first, otherwise as written.
//!
//! Not here: dependencies on other hosts (see `engine`), which do not order anything in a bundle.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use wavegate_proto::artifact::bundle::{Bundle, Dependency, ResourceSpec};
use wavegate_proto::ids::ResourceId;

use super::error::ResourceError;

/// The resources of a bundle by their position in it.
#[derive(Debug)]
pub struct Graph {
    order: Vec<usize>,
    needs: Vec<Vec<usize>>,
}

impl Graph {
    /// Orders the resources of `bundle`.
    ///
    /// # Errors
    /// When an id or a path is there twice, a dependency names nothing, or dependencies run in a
    /// circle.
    pub fn of(bundle: &Bundle) -> Result<Self, ResourceError> {
        let positions = positions(bundle)?;
        check_paths(bundle)?;
        let mut needs = Vec::with_capacity(bundle.resources.len());
        for resource in &bundle.resources {
            let mut own = Vec::new();
            for dependency in &resource.depends_on {
                let Dependency::Here(id) = dependency else { continue };
                let position = positions.get(id).ok_or_else(|| ResourceError::BadBundle {
                    reason: "unknown-dependency",
                    what: format!("resource {} depends on {id}, which is not there", resource.id),
                })?;
                own.push(*position);
            }
            needs.push(own);
        }
        refuse_circles(bundle, &needs)?;
        Ok(Self { order: sorted(&needs), needs })
    }

    /// Every position, in the order in which to start.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The positions that must be done before this one, as written.
    #[must_use]
    pub fn needs(&self, position: usize) -> &[usize] {
        &self.needs[position]
    }
}

fn positions(bundle: &Bundle) -> Result<BTreeMap<&ResourceId, usize>, ResourceError> {
    let mut positions = BTreeMap::new();
    for (position, resource) in bundle.resources.iter().enumerate() {
        if positions.insert(&resource.id, position).is_some() {
            return Err(ResourceError::BadBundle {
                reason: "duplicate-resource",
                what: format!("resource {} is there twice", resource.id),
            });
        }
    }
    Ok(positions)
}

/// The path a resource keeps, for the kinds that keep one.
#[must_use]
pub fn path_of(spec: &ResourceSpec) -> Option<&str> {
    match spec {
        ResourceSpec::File(file) => Some(&file.path),
        ResourceSpec::Directory(directory) => Some(&directory.path),
        ResourceSpec::Unknown { .. } => None,
    }
}

fn check_paths(bundle: &Bundle) -> Result<(), ResourceError> {
    let mut seen = BTreeSet::new();
    for path in bundle.resources.iter().filter_map(|resource| path_of(&resource.spec)) {
        if !seen.insert(path) {
            return Err(ResourceError::BadBundle {
                reason: "duplicate-path",
                what: format!("path {path} is there twice"),
            });
        }
    }
    Ok(())
}

fn refuse_circles(bundle: &Bundle, needs: &[Vec<usize>]) -> Result<(), ResourceError> {
    let mut graph = DiGraph::<usize, ()>::new();
    let nodes: Vec<NodeIndex> = (0..needs.len()).map(|position| graph.add_node(position)).collect();
    for (position, own) in needs.iter().enumerate() {
        for need in own {
            graph.add_edge(nodes[*need], nodes[position], ());
        }
    }
    let on_itself = |nodes: &[NodeIndex]| nodes.iter().any(|n| graph.contains_edge(*n, *n));
    let components = tarjan_scc(&graph);
    let Some(circle) = components.iter().find(|c| c.len() > 1 || on_itself(c)) else {
        return Ok(());
    };
    let mut ids: Vec<&str> =
        circle.iter().map(|node| bundle.resources[graph[*node]].id.as_str()).collect();
    ids.sort_unstable();
    Err(ResourceError::BadBundle {
        reason: "dependency-cycle",
        what: format!("resources depend on each other in a circle: {}", ids.join(", ")),
    })
}

/// Of all that could come next, always the one written first.
fn sorted(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(needs.len());
    let mut placed = vec![false; needs.len()];
    let mut open: BTreeSet<usize> = (0..needs.len()).collect();
    while let Some(next) = open.iter().copied().find(|p| needs[*p].iter().all(|n| placed[*n])) {
        open.remove(&next);
        placed[next] = true;
        order.push(next);
    }
    order
}
