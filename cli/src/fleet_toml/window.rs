//! Maintenance windows as people write them.
//!
//! Not here: when one is open (`wavegate_reconciler::window`).

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use wavegate_proto::artifact::window::{ClockTime, Weekday, Window};
use wavegate_proto::ids::ZoneName;
use wavegate_reconciler::window::{knows_zone, zone_names};

/// One maintenance window of a policy: one that comes, in a time zone that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowKeys(pub Window);

/// Its keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    tz: Zone,
    days: Days,
    start: ClockTime,
    end: ClockTime,
}

impl<'de> Deserialize<'de> for WindowKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keys { tz: Zone(tz), days: Days(days), start, end } = Keys::deserialize(deserializer)?;
        Ok(Self(Window { tz, days, start, end }))
    }
}

struct Zone(ZoneName);

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<ZoneName>() {
            Ok(name) if knows_zone(&name) => Ok(Self(name)),
            Ok(_) | Err(_) => {
                // In the words in which serde speaks of unknown values: they get a suggestion.
                let known: Vec<String> = zone_names().map(|name| format!("`{name}`")).collect();
                let known = known.join(", ");
                Err(D::Error::custom(format!("unknown variant `{text}`, expected one of {known}")))
            }
        }
    }
}

struct Days(Vec<Weekday>);

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let days = Vec::<Weekday>::deserialize(deserializer)?;
        if days.is_empty() {
            return Err(D::Error::custom("a window needs at least one day, or it never comes"));
        }
        let mut seen = BTreeSet::new();
        match days.iter().find(|day| !seen.insert(**day)) {
            Some(twice) => Err(D::Error::custom(format!("day {} is there twice", twice.as_str()))),
            None => Ok(Self(days)),
        }
    }
}
