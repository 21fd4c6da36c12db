//! Whether everything that is left alone comes to an end.
//!
//! Every path has finitely many faults, so it ends in steps without any. Among these, a step that stays
//! possible is taken some day: what a path then visits for ever is a set of states that lead to each other
//! and nowhere else. Such a set must be a single state, at rest; what must hold there is `judge`'s.

use std::collections::HashMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// States that are left for ever in circles, one of each circle.
pub(crate) fn circles(edges: &[(u64, u64)]) -> Vec<u64> {
    let mut graph = DiGraph::<u64, ()>::new();
    let mut nodes: HashMap<u64, NodeIndex> = HashMap::new();
    for (from, to) in edges {
        let from = *nodes.entry(*from).or_insert_with(|| graph.add_node(*from));
        let to = *nodes.entry(*to).or_insert_with(|| graph.add_node(*to));
        graph.add_edge(from, to, ());
    }
    let mut circles = Vec::new();
    for component in tarjan_scc(&graph) {
        let leaves = component
            .iter()
            .any(|node| graph.neighbors(*node).any(|next| !component.contains(&next)));
        if component.len() > 1 && !leaves {
            circles.push(graph[component[0]]);
        }
    }
    circles
}
