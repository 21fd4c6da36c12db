//! Edges: which hosts, and which channels, go before which.
//!
//! Not here: dependencies between resources (see [`super::order`]).

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{has_path_connecting, tarjan_scc};
use petgraph::graphmap::DiGraphMap;
use wavegate_proto::ids::{ChannelName, HostName};

use super::names;
use super::waves::Waves;
use crate::fleet_toml::FleetFile;
use crate::fleet_toml::model::HostEdge;
use crate::fleet_toml::selector::Selectables;
use crate::fleet_toml::source::Complaints;
use crate::suggest;

/// The hosts each host waits for.
pub(super) type After = BTreeMap<HostName, BTreeSet<HostName>>;

/// Resolves the host edges.
pub(super) fn hosts(
    file: &FleetFile,
    seen: &Selectables,
    waves: &Waves,
    complaints: &mut Complaints<'_>,
) -> After {
    let mut after = After::new();
    for (index, edge) in file.keys.edges.iter().enumerate() {
        let index = index.to_string();
        let place = ["edges", index.as_str()];
        for (side, selector) in [("before", &edge.before), ("after", &edge.after)] {
            let place = [&place[..], &[side]].concat();
            names::check_selector(selector, seen, &place, complaints);
            if selector.resolve(seen).is_empty() {
                complaints.add(&place, format!("`{side}` of this edge selects no host"));
            }
        }
        match resolve_edge(edge, seen, waves) {
            Ok(pairs) => pairs.into_iter().for_each(|(first, then)| {
                after.entry(then).or_default().insert(first);
            }),
            Err(refusal) => complaints.add_with_hint(&place, refusal.message, refusal.hint),
        }
    }
    after
}

struct Refusal {
    message: String,
    hint: Option<String>,
}

/// The pairs (first, then) of one edge.
fn resolve_edge(
    edge: &HostEdge,
    seen: &Selectables,
    waves: &Waves,
) -> Result<Vec<(HostName, HostName)>, Refusal> {
    let befores = edge.before.resolve(seen);
    let mut pairs = Vec::new();
    for then in edge.after.resolve(seen) {
        for first in &befores {
            let refuse = |message, hint| Err(Refusal { message, hint });
            if *first == then {
                return refuse(format!("host {first} is on both sides of this edge"), None);
            }
            if seen.get(first).map(|h| &h.channel) != seen.get(&then).map(|h| &h.channel) {
                let hint = "order channels with [[channel_edges]], or single resources with \
                            depends_on = [{ host = \"…\", resource = \"…\" }]";
                let message = format!("edge across channels: {first} and {then}");
                return refuse(message, Some(hint.to_owned()));
            }
            if waves.get(first) > waves.get(&then) {
                let message =
                    format!("host {then} would wait for {first}, which is in a later wave");
                return refuse(message, None);
            }
            pairs.push((first.clone(), then.clone()));
        }
    }
    Ok(pairs)
}

/// The order of channels.
#[derive(Debug, Default)]
pub(super) struct ChannelOrder<'f> {
    graph: DiGraphMap<&'f str, ()>,
}

impl ChannelOrder<'_> {
    /// Whether `before` goes before `after`, directly or through others.
    pub(super) fn goes_before(&self, before: &ChannelName, after: &ChannelName) -> bool {
        let both = [before, after].iter().all(|channel| self.graph.contains_node(channel.as_str()));
        both && has_path_connecting(&self.graph, before.as_str(), after.as_str(), None)
    }
}

/// Resolves the channel edges; complains of unknown channels and cycles.
pub(super) fn channels<'f>(
    file: &'f FleetFile,
    complaints: &mut Complaints<'_>,
) -> ChannelOrder<'f> {
    let mut order = ChannelOrder::default();
    let known: Vec<&str> = file.keys.channels.keys().map(ChannelName::as_str).collect();
    for (index, edge) in file.keys.channel_edges.iter().enumerate() {
        let index = index.to_string();
        for (side, channel) in [("before", &edge.before), ("after", &edge.after)] {
            if !file.keys.channels.contains_key(channel) {
                complaints.add_with_hint(
                    &["channel_edges", &index, side],
                    format!("unknown channel `{channel}`"),
                    suggest::hint(channel.as_str(), &known),
                );
            }
        }
        order.graph.add_edge(edge.before.as_str(), edge.after.as_str(), ());
    }
    for mut group in tarjan_scc(&order.graph) {
        let looped = group.len() > 1 || group.iter().any(|c| order.graph.contains_edge(*c, *c));
        if looped {
            group.sort_unstable();
            let message = format!("channel edges form a cycle: {}", group.join(", "));
            complaints.add(&["channel_edges"], message);
        }
    }
    order
}
