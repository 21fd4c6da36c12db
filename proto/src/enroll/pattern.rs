//! Names of hosts with one `*` in them, which stands for one or more characters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::HostName;

/// A pattern such as `web-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    before: String,
    after: String,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a pattern of host names: {0:?} (a-z, 0-9 and -, with one * in it, such as \"web-*\")")]
pub struct PatternError(String);

impl HostPattern {
    /// Whether the pattern has this name.
    #[must_use]
    pub fn matches(&self, host: &HostName) -> bool {
        let rest = host.as_str().strip_prefix(&self.before);
        let between = rest.and_then(|rest| rest.strip_suffix(&self.after));
        between.is_some_and(|between| !between.is_empty())
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let refuse = || PatternError(text.chars().take(80).collect());
        let (before, after) = text.split_once('*').ok_or_else(refuse)?;
        let fits = |part: &str| {
            part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() > 63 || !fits(before) || !fits(after) {
            return Err(refuse());
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.before, self.after)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stands_for_one_or_more_characters() {
        let matches = |pattern: &str, host: &str| {
            pattern.parse::<HostPattern>().unwrap().matches(&host.parse().unwrap())
        };
        for (pattern, host, fits) in [
            ("web-*", "web-01", true),
            ("web-*", "web-", false),
            ("web-*", "db-01", false),
            ("*-eu", "web-01-eu", true),
            ("a*a", "aba", true),
            ("a*a", "aa", false),
            ("*", "anything", true),
        ] {
            if let Ok(_name) = host.parse::<HostName>() {
                assert_eq!(matches(pattern, host), fits, "{pattern} {host}");
            }
        }
        for bad in ["web", "*-*", "Web-*", "web.*", ""] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }
}
