//! Names in selectors that no host has.
//!
//! Not here: what the selectors are for.

use std::collections::BTreeSet;

use crate::fleet_toml::selector::{Selectables, Selector};
use crate::fleet_toml::source::Complaints;
use crate::suggest;

/// Complains of every unknown name in `selector`, with the nearest known one.
pub(super) fn check_selector(
    selector: &Selector,
    hosts: &Selectables,
    place: &[&str],
    complaints: &mut Complaints<'_>,
) {
    for unknown in selector.unknown_names(hosts) {
        let known: BTreeSet<&str> = match unknown.what {
            "tag" => hosts.values().flat_map(|h| h.tags.iter().map(String::as_str)).collect(),
            "channel" => hosts.values().map(|h| h.channel.as_str()).collect(),
            _ => hosts.keys().map(|name| name.as_str()).collect(),
        };
        let known: Vec<&str> = known.into_iter().collect();
        complaints.add_with_hint(
            place,
            format!("no host has {} `{}`", article(unknown.what), unknown.name),
            suggest::hint(&unknown.name, &known),
        );
    }
}

fn article(what: &str) -> &str {
    match what {
        "host" => "the name",
        other => other,
    }
}
