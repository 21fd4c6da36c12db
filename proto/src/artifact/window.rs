//! Maintenance windows as they are signed: days, times of day, a time zone.
//!
//! Not here: when one is open, and whether a zone of that name exists. Both take the time zone
//! database, which only the planner and the operator's tool have: an agent that is older than a zone
//! must not refuse the release that names it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::ZoneName;

/// A time of the week at which hosts may be dispatched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// An IANA time zone.
    pub tz: ZoneName,
    /// The days on which it starts; at least one, each once.
    pub days: Vec<Weekday>,
    /// When it starts.
    pub start: ClockTime,
    /// When it ends; unless that is after `start`, on the next day.
    pub end: ClockTime,
}

impl Window {
    /// How long it is open on a day on which no clock is changed, in minutes: 1 to 1440.
    #[must_use]
    pub fn minutes(&self) -> u16 {
        let (start, end) = (self.start.minute_of_day(), self.end.minute_of_day());
        if end > start { end - start } else { end + MINUTES_OF_DAY - start }
    }
}

/// As a person would write it: `mon, tue 22:00-04:00 Europe/Berlin`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = self.days.iter().map(|day| day.as_str()).collect();
        write!(f, "{} {}-{} {}", days.join(", "), self.start, self.end, self.tz)
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the days say it themselves")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// Every day, from Monday.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// As it is written: `mon` to `sun`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

const MINUTES_OF_DAY: u16 = 24 * 60;

/// A time of day, `00:00` to `23:59`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockTime {
    minute_of_day: u16,
}

/// Why a text is not a [`ClockTime`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of day: {0:?} (write it like \"22:00\", from 00:00 to 23:59)")]
pub struct ClockTimeError(String);

impl ClockTime {
    /// Minutes since midnight: 0 to 1439.
    #[must_use]
    pub fn minute_of_day(self) -> u16 {
        self.minute_of_day
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minute_of_day / 60, self.minute_of_day % 60)
    }
}

impl FromStr for ClockTime {
    type Err = ClockTimeError;

    fn from_str(text: &str) -> Result<Self, ClockTimeError> {
        let error = || ClockTimeError(text.chars().take(16).collect());
        let number = |digits: &str, below: u16| {
            let digits = digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)?;
            digits.parse::<u16>().ok().filter(|number| *number < below)
        };
        let (hour, minute) = text.split_once(':').ok_or_else(error)?;
        match (hour.len(), number(hour, 24), minute.len(), number(minute, 60)) {
            (2, Some(hour), 2, Some(minute)) => Ok(Self { minute_of_day: hour * 60 + minute }),
            _ => Err(error()),
        }
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_written_as_they_were_read() {
        let text = r#"{"tz":"Europe/Berlin","days":["mon","sun"],"start":"22:00","end":"04:05"}"#;
        let window: Window = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&window).unwrap(), text);
        assert_eq!(window.to_string(), "mon, sun 22:00-04:05 Europe/Berlin");
        assert_eq!(window.minutes(), 365);
    }

    #[test]
    fn times_of_day_have_one_form() {
        for good in ["00:00", "02:30", "23:59"] {
            assert_eq!(good.parse::<ClockTime>().unwrap().to_string(), good);
        }
        for bad in ["24:00", "22:60", "2:00", "", "x", "+2:00", "04:+1", "22:00:00", "2२:00"] {
            assert!(bad.parse::<ClockTime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_that_is_not_after_the_start_is_on_the_next_day() {
        for (start, end, minutes) in
            [("22:00", "04:00", 360), ("00:00", "00:00", 1440), ("00:00", "00:01", 1)]
        {
            let (start, end) = (start.parse().unwrap(), end.parse().unwrap());
            let days = vec![Weekday::Mon];
            let window = Window { tz: "UTC".parse().unwrap(), days, start, end };
            assert_eq!(window.minutes(), minutes, "{window}");
        }
    }
}
