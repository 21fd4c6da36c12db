//! A dag as text, as DOT for Graphviz, and as Mermaid.
//!
//! Not here: what is in it (see [`super`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wavegate_proto::ids::{HostName, ResourceId};

use super::{Dag, HostNode, ResourceNode};

/// A paragraph a host, a line a resource, in the order in which they start.
#[must_use]
pub fn text(dag: &Dag) -> String {
    let mut text = String::new();
    for (index, node) in dag.hosts.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let HostNode { host, channel, wave, after, resources } = node;
        let _ = write!(text, "{host} ({channel}, wave {wave})");
        if !after.is_empty() {
            let names: Vec<&str> = after.iter().map(HostName::as_str).collect();
            let _ = write!(text, ", after {}", names.join(", "));
        }
        text.push('\n');
        let width = resources.iter().map(|resource| resource.id.as_str().len()).max().unwrap_or(0);
        for resource in resources {
            text.push_str(&line(resource, width));
        }
        if resources.is_empty() {
            text.push_str("  no resources\n");
        }
    }
    text
}

fn line(resource: &ResourceNode, width: usize) -> String {
    let here = resource.needs.iter().map(ToString::to_string);
    let there = resource.needs_elsewhere.iter().map(|of| format!("{}/{}", of.host, of.resource));
    let needs: Vec<String> = here.chain(there).collect();
    let (id, kind) = (resource.id.as_str(), resource.kind.as_str());
    let mut line = format!("  {id:width$}  {kind:12}");
    if !needs.is_empty() {
        let _ = write!(line, "  after {}", needs.join(", "));
    }
    if resource.one_way {
        line.push_str("  one way");
    }
    format!("{}\n", line.trim_end())
}

/// For `dot -Tsvg`.
#[must_use]
pub fn dot(dag: &Dag) -> String {
    let mut text =
        "digraph wavegate {\n  rankdir=LR;\n  compound=true;\n  node [shape=box];\n".to_owned();
    for node in &dag.hosts {
        let host = &node.host;
        let _ = writeln!(text, "  subgraph \"cluster_{host}\" {{");
        let _ = writeln!(text, "    label=\"{host}\";\n    \"{host}\" [shape=point];");
        for ResourceNode { id, kind, .. } in &node.resources {
            let _ = writeln!(text, "    \"{host}/{id}\" [label=\"{id}\\n{}\"];", kind.as_str());
        }
        text.push_str("  }\n");
    }
    for (host, resources) in dag.elsewhere() {
        let _ = writeln!(text, "  \"{host}\" [shape=point, xlabel=\"{host}\"];");
        for id in resources {
            let _ = writeln!(text, "  \"{host}/{id}\" [style=dashed];");
        }
    }
    for node in &dag.hosts {
        let host = &node.host;
        for before in &node.after {
            let _ = writeln!(text, "  \"{before}\" -> \"{host}\" [style=dashed];");
        }
        for resource in &node.resources {
            let id = &resource.id;
            for need in &resource.needs {
                let _ = writeln!(text, "  \"{host}/{need}\" -> \"{host}/{id}\";");
            }
            for of in &resource.needs_elsewhere {
                let (other, need) = (&of.host, &of.resource);
                let _ = writeln!(text, "  \"{other}/{need}\" -> \"{host}/{id}\";");
            }
        }
    }
    text.push_str("}\n");
    text
}

/// For pages that draw Mermaid.
#[must_use]
pub fn mermaid(dag: &Dag) -> String {
    let mut numbers: Numbers<'_> = BTreeMap::new();
    let mut text = "flowchart LR\n".to_owned();
    for (index, node) in dag.hosts.iter().enumerate() {
        let host = &node.host;
        let _ = writeln!(text, "  subgraph h{index}[\"{host}\"]");
        for ResourceNode { id, kind, .. } in &node.resources {
            let number = number(&mut numbers, host, id);
            let _ = writeln!(text, "    n{number}[\"{id}<br/>{}\"]", kind.as_str());
        }
        text.push_str("  end\n");
    }
    for (host, resources) in dag.elsewhere() {
        for id in resources {
            let number = number(&mut numbers, host, id);
            let _ = writeln!(text, "  n{number}([\"{host}/{id}\"])");
        }
    }
    let place = |host: &HostName| dag.hosts.iter().position(|node| node.host == *host);
    for (index, node) in dag.hosts.iter().enumerate() {
        for before in node.after.iter().filter_map(place) {
            let _ = writeln!(text, "  h{before} -.-> h{index}");
        }
        for resource in &node.resources {
            let to = number(&mut numbers, &node.host, &resource.id);
            let here = resource.needs.iter().map(|id| (&node.host, id));
            let there = resource.needs_elsewhere.iter().map(|of| (&of.host, &of.resource));
            for (host, id) in here.chain(there) {
                let from = number(&mut numbers, host, id);
                let _ = writeln!(text, "  n{from} --> n{to}");
            }
        }
    }
    text
}

/// The number of each resource that was met.
type Numbers<'a> = BTreeMap<(&'a HostName, &'a ResourceId), usize>;

fn number<'a>(numbers: &mut Numbers<'a>, host: &'a HostName, id: &'a ResourceId) -> usize {
    let next = numbers.len();
    *numbers.entry((host, id)).or_insert(next)
}
