//! Maintenance windows: whether one is open, until when, and when the next ones open.
//!
//! A window opens at the first moment at which the local clock shows its start or something later, and
//! closes at the first moment at which it shows its end or something later. So a time that clocks skip
//! counts as the moment at which they jump, and a time that they show twice counts the first time. A
//! window that would vanish, since clocks jump over all of it, lasts from the jump for as long as it is
//! written: it comes on each of its days (O8).
//!
//! Windows of a policy that overlap, or follow each other without a pause, are one opening.
//!
//! Not here: what is held outside of them (see the gate `window`); changing any clock.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, Days, LocalResult, NaiveDate, NaiveDateTime, TimeZone as _};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use wavegate_proto::artifact::window::{ClockTime, Weekday, Window};
use wavegate_proto::ids::ZoneName;
use wavegate_proto::time::Timestamp;

/// Days before a moment from which windows are followed: an opening that began earlier has no end.
const LOOK_BACK_DAYS: u64 = 9;

/// An opening of this many days has no end: windows come every week.
const ENDLESS_DAYS: i64 = 16;

/// A time in which dispatches are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// When it begins; of one without an end, some moment since when it has been open.
    pub opens_at: Timestamp,
    /// The first moment after it; `None`: it has no end.
    pub closes_at: Option<Timestamp>,
}

/// Whether the windows of a policy are open at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Dispatches are allowed.
    Open,
    /// They are not.
    Closed {
        /// When they are again; `None`: this program knows none of the time zones.
        opens_at: Option<Timestamp>,
    },
}

/// Whether `windows` are open at `now`. No windows at all are always open.
#[must_use]
pub fn at(windows: &[Window], now: Timestamp) -> WindowState {
    if windows.is_empty() {
        return WindowState::Open;
    }
    match openings(windows, now).next() {
        Some(opening) if opening.opens_at <= now => WindowState::Open,
        Some(opening) => WindowState::Closed { opens_at: Some(opening.opens_at) },
        None => WindowState::Closed { opens_at: None },
    }
}

/// The openings of `windows` that are not over at `from`, in order. Windows in time zones that this
/// program does not know are none.
pub fn openings(windows: &[Window], from: Timestamp) -> impl Iterator<Item = Opening> {
    let runs = windows.iter().filter_map(|window| Run::begin(window, from)).collect();
    let mut merged = Merged { runs, next: BTreeSet::new(), endless: false };
    (0..merged.runs.len()).for_each(|index| merged.pull(index));
    merged.skip_while(move |opening| opening.closes_at.is_some_and(|end| end <= from))
}

/// Whether this program knows a time zone of that name.
#[must_use]
pub fn knows_zone(name: &ZoneName) -> bool {
    zone(name).is_some()
}

/// The names of all time zones that this program knows.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    TZ_VARIANTS.iter().map(|zone| zone.name())
}

/// The date and time of day that the clocks of a zone show at a moment, as `2026-11-21 22:00`.
/// `None`: this program does not know the zone.
#[must_use]
pub fn local_time(name: &ZoneName, at: Timestamp) -> Option<String> {
    let local = zone(name)?.from_utc_datetime(&utc(at));
    Some(local.format("%Y-%m-%d %H:%M").to_string())
}

fn zone(name: &ZoneName) -> Option<Tz> {
    name.as_str().parse().ok()
}

fn utc(at: Timestamp) -> NaiveDateTime {
    DateTime::from_timestamp_millis(at.unix_millis()).unwrap_or_default().naive_utc()
}

/// The openings of one window by itself, day by day.
#[derive(Debug)]
struct Run<'w> {
    window: &'w Window,
    zone: Tz,
    day: NaiveDate,
}

impl<'w> Run<'w> {
    fn begin(window: &'w Window, from: Timestamp) -> Option<Self> {
        let zone = zone(&window.tz)?;
        let today = zone.from_utc_datetime(&utc(from)).date_naive();
        let day = today.checked_sub_days(Days::new(LOOK_BACK_DAYS))?;
        Some(Self { window, zone, day })
    }

    /// The opening that starts on `day`.
    fn on(&self, day: NaiveDate) -> Option<(Timestamp, Timestamp)> {
        let Window { start, end, .. } = self.window;
        let last = if end > start { day } else { day.succ_opt()? };
        let opens = self.first_shown(day, *start)?;
        let closes = self.first_shown(last, *end)?;
        let written = u64::from(self.window.minutes()) * 60;
        Some((opens, if closes > opens { closes } else { opens.plus_secs(written) }))
    }

    /// The first moment at which the local clock shows this time or something later.
    fn first_shown(&self, day: NaiveDate, time: ClockTime) -> Option<Timestamp> {
        let minute = u32::from(time.minute_of_day());
        let local = day.and_hms_opt(minute / 60, minute % 60, 0)?;
        let moment = match self.zone.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment,
            LocalResult::None => GapInfo::new(&local, &self.zone)?.end?,
        };
        Some(Timestamp::from(moment.to_utc()))
    }
}

impl Iterator for Run<'_> {
    type Item = (Timestamp, Timestamp);

    fn next(&mut self) -> Option<Self::Item> {
        // A week has each day of the window; one day more than enough.
        for _ in 0..8 {
            let day = self.day;
            // What comes later cannot be written.
            self.day = day.succ_opt().filter(|next| next.year() <= 9999)?;
            if self.window.days.contains(&weekday(day)) {
                return self.on(day);
            }
        }
        None
    }
}

fn weekday(day: NaiveDate) -> Weekday {
    match day.weekday() {
        chrono::Weekday::Mon => Weekday::Mon,
        chrono::Weekday::Tue => Weekday::Tue,
        chrono::Weekday::Wed => Weekday::Wed,
        chrono::Weekday::Thu => Weekday::Thu,
        chrono::Weekday::Fri => Weekday::Fri,
        chrono::Weekday::Sat => Weekday::Sat,
        chrono::Weekday::Sun => Weekday::Sun,
    }
}

/// The openings of several windows, with those that touch put together.
struct Merged<'w> {
    runs: Vec<Run<'w>>,
    /// The next opening of each window, with the window's place in `runs`.
    next: BTreeSet<(Timestamp, Timestamp, usize)>,
    endless: bool,
}

impl Merged<'_> {
    fn pull(&mut self, index: usize) {
        let opening = self.runs.get_mut(index).and_then(Iterator::next);
        self.next.extend(opening.map(|(opens, closes)| (opens, closes, index)));
    }
}

impl Iterator for Merged<'_> {
    type Item = Opening;

    fn next(&mut self) -> Option<Opening> {
        if self.endless {
            return None;
        }
        let (opens_at, mut end, first) = self.next.pop_first()?;
        self.pull(first);
        while let Some(touching) = self.next.first().copied().filter(|next| next.0 <= end) {
            self.next.remove(&touching);
            self.pull(touching.2);
            end = end.max(touching.1);
            if end.secs_since(opens_at) >= ENDLESS_DAYS * 86_400 {
                self.endless = true;
                return Some(Opening { opens_at, closes_at: None });
            }
        }
        Some(Opening { opens_at, closes_at: Some(end) })
    }
}
