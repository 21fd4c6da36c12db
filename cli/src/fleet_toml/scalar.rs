//! The small values of files written by people: durations, limits, times.
//!
//! Not here: which keys have them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::time::Timestamp;

/// A duration in whole seconds, written `"90s"`, `"30m"`, `"24h"`, `"7d"` or `"1h30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

/// The longest duration a signed policy may hold: a year.
const MAX_SECONDS: u64 = 366 * 86_400;

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error =
            || format!("not a duration: {text:?} (write it like \"90s\", \"30m\" or \"24h\")");
        let mut total: u64 = 0;
        let mut digits = String::new();
        let mut units_seen = 0;
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let unit = match c {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                _ => return Err(error()),
            };
            let number: u64 = digits.parse().map_err(|_| error())?;
            let part = number.checked_mul(unit).ok_or_else(error)?;
            total = total.checked_add(part).ok_or_else(error)?;
            digits.clear();
            units_seen += 1;
        }
        if units_seen == 0 || !digits.is_empty() {
            return Err(error());
        }
        if total > MAX_SECONDS {
            return Err(format!("{text:?} is longer than a year"));
        }
        Ok(Self(total))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"90s\", \"30m\" or \"24h\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// A number of hosts (`0`) or a share of them (`"5%"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitText(pub Limit);

impl<'de> Deserialize<'de> for LimitText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrPercent;
        impl Visitor<'_> for CountOrPercent {
            type Value = LimitText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of hosts, or a share such as \"5%\"")
            }
            fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<LimitText, E> {
                let count = u32::try_from(count)
                    .map_err(|_| E::custom(format!("{count} is not a number of hosts")))?;
                Ok(LimitText(Limit::Count(count)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LimitText, E> {
                text.strip_suffix('%')
                    .and_then(|number| number.parse::<u32>().ok())
                    .filter(|percent| *percent <= 100)
                    .map(|percent| LimitText(Limit::Percent(percent)))
                    .ok_or_else(|| {
                        E::custom(format!("not a limit: {text:?} (write 0, 3 or \"5%\")"))
                    })
            }
        }
        deserializer.deserialize_any(CountOrPercent)
    }
}

/// A duration, or `false` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// After so long.
    Seconds(Seconds),
    /// Never.
    Never,
}

impl After {
    /// The seconds; `None` for never.
    #[must_use]
    pub fn secs(self) -> Option<u64> {
        match self {
            Self::Seconds(seconds) => Some(seconds.0),
            Self::Never => None,
        }
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationOrFalse;
        impl Visitor<'_> for DurationOrFalse {
            type Value = After;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"24h\", or false for never")
            }
            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<After, E> {
                if value {
                    return Err(E::custom("write a duration such as \"24h\", or false for never"));
                }
                Ok(After::Never)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<After, E> {
                text.parse().map(After::Seconds).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(DurationOrFalse)
    }
}

/// A moment, written as a TOML time in UTC: `2026-11-21T09:00:00Z`. In whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcTime(pub Timestamp);

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = toml::value::Datetime::deserialize(deserializer)?;
        match written.to_string().parse::<Timestamp>() {
            Ok(time) => Ok(Self(time.truncated_to_secs())),
            Err(_) => Err(D::Error::custom(format!(
                "{written} is not a time in UTC, such as 2026-11-21T09:00:00Z"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_whole_seconds() {
        for (text, secs) in [
            ("0s", 0),
            ("90s", 90),
            ("30m", 1800),
            ("24h", 86_400),
            ("7d", 604_800),
            ("1h30m", 5400),
        ] {
            assert_eq!(text.parse::<Seconds>(), Ok(Seconds(secs)), "{text}");
        }
        for bad in ["", "30", "m", "1.5h", "-1s", "30 m", "1w", "99999999999999999999d", "400d"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }
}
