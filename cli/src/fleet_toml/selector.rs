//! Selectors: which hosts a wave, an edge or a budget is about. Resolved when a release is built.
//!
//! Not here: what is done with the hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use wavegate_proto::ids::{ChannelName, HostName};

/// Which hosts are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Every host.
    All,
    /// Hosts that have all of these tags.
    Tags(Vec<String>),
    /// Hosts that have any of these tags.
    TagsAny(Vec<String>),
    /// These hosts.
    Hosts(Vec<HostName>),
    /// The hosts of a channel.
    Channel(ChannelName),
    /// Every host but these.
    Not(Box<Self>),
    /// Hosts that all of these mean.
    And(Vec<Self>),
}

/// What a selector can see of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selectable {
    /// Its channel.
    pub channel: ChannelName,
    /// Its tags.
    pub tags: BTreeSet<String>,
}

/// The hosts a selector chooses from.
pub type Selectables = BTreeMap<HostName, Selectable>;

/// A name in a selector that nothing has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// `host`, `tag` or `channel`.
    pub what: &'static str,
    /// The name.
    pub name: String,
}

impl Selector {
    /// Whether it means `host`.
    #[must_use]
    pub fn matches(&self, host: &HostName, seen: &Selectable) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => tags.iter().all(|tag| seen.tags.contains(tag)),
            Self::TagsAny(tags) => tags.iter().any(|tag| seen.tags.contains(tag)),
            Self::Hosts(hosts) => hosts.contains(host),
            Self::Channel(channel) => seen.channel == *channel,
            Self::Not(inner) => !inner.matches(host, seen),
            Self::And(all) => all.iter().all(|inner| inner.matches(host, seen)),
        }
    }

    /// The hosts it means, in order.
    #[must_use]
    pub fn resolve(&self, hosts: &Selectables) -> Vec<HostName> {
        let chosen = hosts.iter().filter(|(host, seen)| self.matches(host, seen));
        chosen.map(|(host, _)| host.clone()).collect()
    }

    /// The names in it that no host has.
    #[must_use]
    pub fn unknown_names(&self, hosts: &Selectables) -> Vec<UnknownName> {
        let unknown = |what, name: &str| UnknownName { what, name: name.to_owned() };
        match self {
            Self::All => Vec::new(),
            Self::Tags(tags) | Self::TagsAny(tags) => tags
                .iter()
                .filter(|tag| !hosts.values().any(|seen| seen.tags.contains(*tag)))
                .map(|tag| unknown("tag", tag))
                .collect(),
            Self::Hosts(names) => names
                .iter()
                .filter(|name| !hosts.contains_key(*name))
                .map(|name| unknown("host", name.as_str()))
                .collect(),
            Self::Channel(channel) => {
                let known = hosts.values().any(|seen| seen.channel == *channel);
                if known { Vec::new() } else { vec![unknown("channel", channel.as_str())] }
            }
            Self::Not(inner) => inner.unknown_names(hosts),
            Self::And(all) => all.iter().flat_map(|inner| inner.unknown_names(hosts)).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectorKeys {
    tags: Option<Vec<String>>,
    tags_any: Option<Vec<String>>,
    hosts: Option<Vec<HostName>>,
    channel: Option<ChannelName>,
    not: Option<Box<Selector>>,
    and: Option<Vec<Selector>>,
}

impl TryFrom<SelectorKeys> for Selector {
    type Error = &'static str;

    fn try_from(keys: SelectorKeys) -> Result<Self, &'static str> {
        let mut found = Vec::new();
        if let Some(tags) = keys.tags {
            found.push(Self::Tags(not_empty(tags)?));
        }
        if let Some(tags) = keys.tags_any {
            found.push(Self::TagsAny(not_empty(tags)?));
        }
        if let Some(hosts) = keys.hosts {
            found.push(Self::Hosts(not_empty(hosts)?));
        }
        found.extend(keys.channel.map(Self::Channel));
        if let Some(inner) = keys.not {
            if matches!(*inner, Self::Not(_) | Self::And(_)) {
                return Err("`not` takes a plain selector; only `and` may hold a `not`");
            }
            found.push(Self::Not(inner));
        }
        if let Some(all) = keys.and {
            if all.iter().any(|inner| matches!(inner, Self::And(_))) {
                return Err("`and` holds plain selectors and `not`, no other `and`");
            }
            found.push(Self::And(not_empty(all)?));
        }
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(_), false) => Err("a selector has one key; put several into `and = [ … ]`"),
            (None, _) => Err(EMPTY),
        }
    }
}

const EMPTY: &str = "a selector must not be empty; write \"all\" for every host";

fn not_empty<T>(list: Vec<T>) -> Result<Vec<T>, &'static str> {
    if list.is_empty() { Err(EMPTY) } else { Ok(list) }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOrKeys;
        impl<'de> Visitor<'de> for AllOrKeys {
            type Value = Selector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\" or a selector such as { tags = [\"web\"] }")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Selector, E> {
                if text == "all" {
                    Ok(Selector::All)
                } else {
                    Err(E::unknown_variant(text, &["all"]))
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Selector, A::Error> {
                let keys = SelectorKeys::deserialize(MapAccessDeserializer::new(map))?;
                Selector::try_from(keys).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(AllOrKeys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Line {
        s: Selector,
    }

    fn hosts() -> Selectables {
        let host = |name: &str, channel: &str, tags: &[&str]| {
            let tags = tags.iter().map(|t| (*t).to_owned()).collect();
            let channel = ChannelName::new(channel).unwrap();
            (HostName::new(name).unwrap(), Selectable { channel, tags })
        };
        BTreeMap::from([
            host("db-1", "stable", &["db"]),
            host("web-1", "stable", &["web", "canary"]),
            host("web-2", "edge", &["web"]),
        ])
    }

    #[test]
    fn selectors_choose_at_their_edges() {
        let table = [
            (r#""all""#, "db-1 web-1 web-2"),
            (r#"{ tags = ["web"] }"#, "web-1 web-2"),
            (r#"{ tags = ["web", "canary"] }"#, "web-1"),
            (r#"{ tags_any = ["db", "canary"] }"#, "db-1 web-1"),
            (r#"{ hosts = ["web-2", "db-1"] }"#, "db-1 web-2"),
            (r#"{ channel = "edge" }"#, "web-2"),
            (r#"{ not = { tags = ["web"] } }"#, "db-1"),
            (r#"{ not = "all" }"#, ""),
            (r#"{ and = [{ tags = ["web"] }, { not = { channel = "edge" } }] }"#, "web-1"),
        ];
        for (text, expected) in table {
            let line: Line = toml::from_str(&format!("s = {text}")).unwrap();
            let names = line.s.resolve(&hosts());
            let names: Vec<_> = names.iter().map(HostName::as_str).collect();
            assert_eq!(names.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for (text, part) in [
            ("{}", "must not be empty"),
            (r#"{ tags = [] }"#, "must not be empty"),
            (r#"{ and = [] }"#, "must not be empty"),
            (r#"{ tags = ["a"], channel = "b" }"#, "one key"),
            (r#"{ not = { not = "all" } }"#, "plain selector"),
            (r#"{ and = [{ and = ["all"] }] }"#, "no other `and`"),
            (r#""every""#, "unknown variant"),
            ("3", "expected"),
        ] {
            let error = toml::from_str::<Line>(&format!("s = {text}")).err().unwrap().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_that_no_host_has_are_found() {
        let line: Line =
            toml::from_str(r#"s = { and = [{ tags = ["wbe"] }, { not = { hosts = ["x"] } }] }"#)
                .unwrap();
        let names: Vec<_> = line
            .s
            .unknown_names(&hosts())
            .iter()
            .map(|u| format!("{} {}", u.what, u.name))
            .collect();
        assert_eq!(names, ["tag wbe", "host x"]);
    }
}
