//! Points in time as they are written down, and the pair of clocks a decision is given.
//!
//! Not here: reading a clock. Time is always an argument.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, UTC, in whole milliseconds since 1970-01-01.
///
/// Written as RFC 3339 with milliseconds (`2026-11-21T09:00:00.000Z`) in events, logs and the API;
/// artifacts use [`whole_seconds`]. Readers accept both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    unix_millis: i64,
}

/// Why a text is not a [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time in UTC between the years 1970 and 9999: {0:?}")]
pub struct TimestampError(String);

impl Timestamp {
    /// The last millisecond of the year 9999: the largest time that can be written.
    const MAX_UNIX_MILLIS: i64 = 253_402_300_799_999;

    /// The time `unix_millis` milliseconds after 1970-01-01T00:00:00Z, kept within 1970..=9999.
    #[must_use]
    pub fn from_unix_millis(unix_millis: i64) -> Self {
        Self { unix_millis: unix_millis.clamp(0, Self::MAX_UNIX_MILLIS) }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_millis(self) -> i64 {
        self.unix_millis
    }

    /// Whole seconds from `earlier` to `self`; negative when `earlier` is later.
    #[must_use]
    pub fn secs_since(self, earlier: Self) -> i64 {
        (self.unix_millis - earlier.unix_millis).div_euclid(1000)
    }

    /// This time plus `secs` seconds, kept within the years that can be written.
    #[must_use]
    pub fn plus_secs(self, secs: u64) -> Self {
        let millis = i64::try_from(secs.saturating_mul(1000)).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.unix_millis.saturating_add(millis))
    }

    /// This time plus `duration`, kept within the years that can be written.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.unix_millis.saturating_add(millis))
    }

    /// This time without its milliseconds.
    #[must_use]
    pub fn truncated_to_secs(self) -> Self {
        Self { unix_millis: self.unix_millis.div_euclid(1000) * 1000 }
    }

    fn date_time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.unix_millis).unwrap_or_default()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(value: DateTime<Utc>) -> Self {
        Self::from_unix_millis(value.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.date_time().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TimestampError(text.chars().take(64).collect());
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| error())?;
        let millis = parsed.timestamp_millis();
        if !text.ends_with('Z') || !(0..=Self::MAX_UNIX_MILLIS).contains(&millis) {
            return Err(error());
        }
        Ok(Self { unix_millis: millis })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with = "whole_seconds")]`: a time as artifacts write it, `2026-11-21T09:00:00Z`.
pub mod whole_seconds {
    use super::{Deserialize, Deserializer, SecondsFormat, Serializer, Timestamp};

    /// Writes the time without milliseconds.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(value: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&value.date_time().to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// Reads a time with or without milliseconds.
    ///
    /// # Errors
    /// When the text is not an RFC 3339 time in UTC.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }

    /// `#[serde(with = "whole_seconds::option")]`: the same for a time that may be absent.
    pub mod option {
        use serde::{Deserialize as _, Deserializer, Serialize, Serializer};

        use super::Timestamp;

        #[derive(Serialize)]
        struct WholeSeconds<'a>(#[serde(with = "super")] &'a Timestamp);

        /// Writes the time without milliseconds, or null.
        ///
        /// # Errors
        /// Only those of the serializer.
        #[allow(clippy::ref_option)]
        pub fn serialize<S: Serializer>(
            value: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.as_ref().map(WholeSeconds).serialize(serializer)
        }

        /// Reads a time with or without milliseconds, or null.
        ///
        /// # Errors
        /// When the text is not an RFC 3339 time in UTC.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Option::deserialize(deserializer)
        }
    }
}

/// A reading of a clock that only moves forward, in milliseconds since an arbitrary start
/// (the start of the process on the control plane, boot on a host).
///
/// Silence, leases, back-off and soak are judged on this clock, never on the wall clock.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Mono {
    millis: u64,
}

impl Mono {
    /// A reading of `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// Milliseconds since the clock's start.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.millis
    }

    /// This reading plus `secs` seconds.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> Self {
        Self { millis: self.millis.saturating_add(secs.saturating_mul(1000)) }
    }

    /// This reading plus `millis` milliseconds.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self { millis: self.millis.saturating_add(millis) }
    }

    /// Whole seconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn secs_since(self, earlier: Self) -> u64 {
        self.millis.saturating_sub(earlier.millis) / 1000
    }

    /// Milliseconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.millis.saturating_sub(earlier.millis)
    }
}

/// Both clocks at the moment of a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// For what is written down: log rows, freshness.
    pub wall: Timestamp,
    /// For what is waited for: leases, silence, back-off, soak.
    pub mono: Mono,
}

impl Now {
    /// The wall-clock time at which the monotonic clock read (or will read) `mono`, judged from now.
    #[must_use]
    pub fn wall_at(self, mono: Mono) -> Timestamp {
        let wall = self.wall.unix_millis();
        let delta = |a: Mono, b: Mono| i64::try_from(a.millis_since(b)).unwrap_or(i64::MAX);
        Timestamp::from_unix_millis(if mono >= self.mono {
            wall.saturating_add(delta(mono, self.mono))
        } else {
            wall.saturating_sub(delta(self.mono, mono))
        })
    }

    /// The monotonic reading at which the wall clock will show `at`, judged from now; now, when that
    /// has been.
    #[must_use]
    pub fn mono_at(self, at: Timestamp) -> Mono {
        let left = at.unix_millis().saturating_sub(self.wall.unix_millis());
        self.mono.plus_millis(u64::try_from(left).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_with_or_without() {
        for (text, written) in [
            ("2026-11-21T09:00:00Z", "2026-11-21T09:00:00.000Z"),
            ("2026-11-21T09:00:00.250Z", "2026-11-21T09:00:00.250Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn the_clocks_are_told_from_each_other() {
        let wall: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let now = Now { wall, mono: Mono::from_millis(5000) };
        for (secs, mono) in [(0, 5000), (60, 65_000)] {
            let later = wall.plus_secs(secs);
            assert_eq!(now.mono_at(later), Mono::from_millis(mono));
            assert_eq!(now.wall_at(now.mono_at(later)), later);
        }
        assert_eq!(now.mono_at(Timestamp::default()), now.mono, "not before now");
    }

    #[test]
    fn other_zones_and_years_out_of_range_are_refused() {
        for text in ["2026-11-21T09:00:00+01:00", "1969-12-31T23:59:59Z", "yesterday", ""] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
