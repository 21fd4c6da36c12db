//! What is different between two releases.
//!
//! Each release is taken apart into facts, a value under a name and a key; what is not the same in
//! both is a difference. Serial and time of signing are no facts: they always differ.
//!
//! Not here: printing it (see [`crate::show`]); what publishing does to a live fleet.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use wavegate_proto::artifact::release::{Release, ReleaseRollout};
use wavegate_proto::ids::{FleetName, RolloutId, Serial};
use wavegate_proto::time::{Timestamp, whole_seconds};

/// What is different between two releases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseDiff {
    /// The one.
    pub old: Side,
    /// The other.
    pub new: Side,
    /// Rollouts of the new one that the old one does not have: these would open.
    pub opens: Vec<RolloutId>,
    /// Rollouts that both have, with other content: nobody who knows the old one accepts the new one.
    pub conflicts: Vec<RolloutId>,
    /// The differences, by section, then name.
    pub changes: Vec<Change>,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its fleet.
    pub fleet: FleetName,
    /// Its serial.
    pub serial: Serial,
    /// When it was signed.
    #[serde(with = "whole_seconds")]
    pub signed_at: Timestamp,
}

/// Something that is not the same in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What it is.
    pub section: Section,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The values, by key.
    pub values: Vec<ValueChange>,
}

/// What something with a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// A channel, with the policy of its rollout.
    Channel,
    /// A wave of a channel's policy, named `stable/canary`.
    Wave,
    /// A disruption budget.
    Budget,
    /// An order of channels, named `edge before stable`.
    ChannelEdge,
    /// A host.
    Host,
    /// A revocation, named after its subject.
    Revocation,
    /// An operator's scope.
    Operator,
}

/// What happened to something with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Only the new release has it.
    Added,
    /// Only the old release has it.
    Removed,
    /// Both have it.
    Changed,
}

/// A value that is not the same in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueChange {
    /// What the value says.
    pub key: String,
    /// In the old release.
    pub old: Option<Value>,
    /// In the new one.
    pub new: Option<Value>,
}

/// Everything a release says, by what it is about.
type Facts = BTreeMap<(Section, String), BTreeMap<String, Value>>;

impl ReleaseDiff {
    /// Compares two releases.
    #[must_use]
    pub fn between(old: &Release, new: &Release) -> Self {
        let both = new.rollouts.values().map(|rollout| {
            let before = old.rollouts.get(&rollout.header.channel);
            let same_ref =
                |before: &&ReleaseRollout| before.header.reference == rollout.header.reference;
            (rollout, before.filter(same_ref))
        });
        let (mut opens, mut conflicts) = (Vec::new(), Vec::new());
        for (rollout, before) in both {
            match before {
                None => opens.push(rollout.header.rollout_id()),
                Some(before) if before.content_id != rollout.content_id => {
                    conflicts.push(rollout.header.rollout_id());
                }
                Some(_) => {}
            }
        }
        Self {
            old: Side::of(old),
            new: Side::of(new),
            opens,
            conflicts,
            changes: changes(facts(old), facts(new)),
        }
    }

    /// Whether there is any difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.opens.is_empty() && self.conflicts.is_empty()
    }
}

impl Side {
    fn of(release: &Release) -> Self {
        let fleet = &release.fleet;
        Self { fleet: fleet.fleet.clone(), serial: fleet.serial, signed_at: fleet.signed_at }
    }
}

fn changes(mut old: Facts, mut new: Facts) -> Vec<Change> {
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let change = |subject: (Section, String)| {
        let (before, after) = (old.remove(&subject), new.remove(&subject));
        let kind = match (&before, &after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (Some(_), Some(_)) => ChangeKind::Changed,
        };
        let values = values(before.unwrap_or_default(), after.unwrap_or_default());
        let (section, name) = subject;
        (!values.is_empty()).then_some(Change { section, name, kind, values })
    };
    names.into_iter().filter_map(change).collect()
}

fn values(mut old: BTreeMap<String, Value>, new: BTreeMap<String, Value>) -> Vec<ValueChange> {
    let mut changes: Vec<ValueChange> = Vec::new();
    for (key, after) in new {
        let before = old.remove(&key);
        if before.as_ref() != Some(&after) {
            changes.push(ValueChange { key, old: before, new: Some(after) });
        }
    }
    changes.extend(old.into_iter().map(|(key, old)| ValueChange {
        key,
        old: Some(old),
        new: None,
    }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn facts(release: &Release) -> Facts {
    let mut facts = Facts::new();
    let mut put = |section, name: String, key: &str, value: Value| {
        facts.entry((section, name)).or_default().insert(key.to_owned(), value);
    };
    for (name, channel) in &release.fleet.channels {
        put(Section::Channel, name.to_string(), "ref", json!(channel.reference));
        put(Section::Channel, name.to_string(), "rollout_policy", json!(channel.rollout_policy));
        let window = json!(channel.freshness_window_secs);
        put(Section::Channel, name.to_string(), "freshness_window_secs", window);
    }
    for edge in &release.fleet.channel_edges {
        let name = format!("{} before {}", edge.before, edge.after);
        put(Section::ChannelEdge, name, "reason", json!(edge.reason));
    }
    // The latest of a subject's cut-offs is the one that counts.
    let mut revoked: Vec<_> = release.fleet.revoked.iter().collect();
    revoked.sort_by_key(|revocation| revocation.not_before);
    for revocation in revoked {
        let not_before = json!(revocation.not_before);
        put(Section::Revocation, revocation.subject.clone(), "not_before", not_before);
        put(Section::Revocation, revocation.subject.clone(), "reason", json!(revocation.reason));
    }
    for (name, scope) in &release.fleet.operators {
        put(Section::Operator, name.to_string(), "channels", json!(scope.channels));
    }
    for (name, host) in &release.fleet.hosts {
        put(Section::Host, name.to_string(), "channel", json!(host.channel));
        put(Section::Host, name.to_string(), "tags", json!(host.tags));
        put(Section::Host, name.to_string(), "closure", json!(host.closure));
        if let Some(key) = &host.public_key {
            put(Section::Host, name.to_string(), "public_key", json!(key));
        }
    }
    release.rollouts.values().for_each(|rollout| rollout_facts(rollout, &mut put));
    facts
}

fn rollout_facts(rollout: &ReleaseRollout, put: &mut impl FnMut(Section, String, &str, Value)) {
    let (header, channel) = (&rollout.header, rollout.header.channel.to_string());
    if let Value::Object(policy) = json!(header.policy) {
        let own = policy.into_iter().filter(|(key, _)| key != "waves" && key != "windows");
        own.for_each(|(key, value)| put(Section::Channel, channel.clone(), &key, value));
    }
    let windows: Vec<String> = header.policy.windows.iter().map(ToString::to_string).collect();
    put(Section::Channel, channel.clone(), "windows", json!(windows));
    for (position, wave) in header.policy.waves.iter().enumerate() {
        let name = format!("{channel}/{}", wave.name);
        put(Section::Wave, name.clone(), "position", json!(position));
        put(Section::Wave, name.clone(), "soak_secs", json!(wave.soak_secs));
        put(Section::Wave, name, "requires_approval", json!(wave.requires_approval));
    }
    for budget in &header.budgets {
        let limit = json!(budget.max_in_flight);
        put(Section::Budget, budget.id.to_string(), &format!("max_in_flight on {channel}"), limit);
    }
    for entry in &rollout.hosts {
        let host = entry.host.to_string();
        let wave = usize::try_from(entry.wave.0).ok();
        let wave = wave.and_then(|wave| header.policy.waves.get(wave)).map(|wave| &wave.name);
        put(Section::Host, host.clone(), "wave", json!(wave));
        put(Section::Host, host.clone(), "after", json!(entry.after));
        put(Section::Host, host.clone(), "budgets", json!(entry.budgets));
        put(Section::Host, host, "checks", json!(entry.checks));
    }
}
