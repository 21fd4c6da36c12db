//! `wavegate release diff`.
//!
//! Not here: comparing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::release::diff::{Change, ChangeKind, ReleaseDiff, Section, ValueChange};

/// How many names are told where the same happened to many.
const MAX_NAMES: usize = 10;

/// The differences, one line each; hosts to which the same happened share one.
#[must_use]
pub fn releases(diff: &ReleaseDiff, verbose: bool) -> String {
    let (old, new) = (&diff.old, &diff.new);
    let mut text = format!("release {} -> {} of fleet {}\n", old.serial, new.serial, new.fleet);
    if old.fleet != new.fleet {
        text.push_str(&format!("the first one is of fleet {}\n", old.fleet));
    }
    if diff.is_empty() {
        text.push_str("no difference\n");
    }
    for (change, names) in grouped(&diff.changes) {
        let sign = match change.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        let (what, names) = (section(change.section), listed(&names, verbose));
        let values: Vec<String> = change.values.iter().filter_map(value_change).collect();
        text.push_str(
            format!("{sign} {what} {names}: {}", values.join("; ")).trim_end_matches(": "),
        );
        text.push('\n');
    }
    for rollout in &diff.opens {
        text.push_str(&format!("opens {rollout}\n"));
    }
    for rollout in &diff.conflicts {
        text.push_str(&format!(
            "{rollout} has other content under the same ref: it would be refused (ref-conflict)\n"
        ));
    }
    text
}

/// Changes with the names of all to which the same happened, in the order of the first of them.
fn grouped(changes: &[Change]) -> Vec<(&Change, Vec<&str>)> {
    let mut groups: Vec<(&Change, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<(Section, ChangeKind, String), usize> = BTreeMap::new();
    for change in changes {
        let values = serde_json::to_string(&change.values).unwrap_or_default();
        let place = *places.entry((change.section, change.kind, values)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, names)) => names.push(&change.name),
            None => groups.push((change, vec![&change.name])),
        }
    }
    groups
}

fn section(section: Section) -> &'static str {
    match section {
        Section::Channel => "channel",
        Section::Wave => "wave",
        Section::Budget => "budget",
        Section::ChannelEdge => "channel",
        Section::Host => "host",
        Section::Revocation => "revoked",
        Section::Operator => "operator",
    }
}

fn listed(names: &[&str], verbose: bool) -> String {
    let shown = if verbose { names.len() } else { MAX_NAMES };
    let list: Vec<&str> = names.iter().copied().take(shown).collect();
    match names.len().saturating_sub(shown) {
        0 => list.join(", "),
        more => format!("{} and {more} more", list.join(", ")),
    }
}

fn value_change(change: &ValueChange) -> Option<String> {
    let ValueChange { key, old, new } = change;
    match (old.as_ref().and_then(value), new.as_ref().and_then(value)) {
        (None, None) => None,
        (Some(old), None) if change.new.is_none() => Some(format!("{key} {old}")),
        (None, Some(new)) if change.old.is_none() => Some(format!("{key} {new}")),
        (old, new) => {
            let or_none = |value: Option<String>| value.unwrap_or("none".to_owned());
            Some(format!("{key} {} -> {}", or_none(old), or_none(new)))
        }
    }
}

/// A value in few words; nothing when there is nothing in it.
fn value(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(match text.strip_prefix("sha256:") {
            Some(hash) => format!("sha256:{}", hash.chars().take(12).collect::<String>()),
            None => text.clone(),
        }),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(self::value).collect();
            (!items.is_empty()).then(|| items.join(", "))
        }
        // A limit: `{"count":3}` or `{"percent":5}`.
        Value::Object(limit) => Some(match (limit.get("count"), limit.get("percent")) {
            (Some(count), _) => count.to_string(),
            (None, Some(percent)) => format!("{percent}%"),
            (None, None) => value.to_string(),
        }),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
    }
}
