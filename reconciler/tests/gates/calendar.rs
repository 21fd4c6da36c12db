//! Maintenance windows against the calendar: known days on which clocks change, and a reference that
//! walks through every minute and knows clocks only by looking at them.
//!
//! Not here: the gate that asks (see [`crate::windows`]).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;
use proptest::prelude::*;
use wavegate_proto::artifact::window::{Weekday, Window};
use wavegate_proto::time::Timestamp;
use wavegate_reconciler::window::{Opening, WindowState, at, knows_zone, openings};

const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    // Half an hour, in the southern summer.
    "Australia/Lord_Howe",
    // Left out 30 December 2011, a Friday.
    "Pacific/Apia",
    "UTC",
    // Twice a year around Ramadan, on other days each year.
    "Africa/Casablanca",
];

fn window(days: &[Weekday], start: &str, end: &str, tz: &str) -> Window {
    let (start, end) = (start.parse().unwrap(), end.parse().unwrap());
    Window { tz: tz.parse().unwrap(), days: days.to_vec(), start, end }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first openings from some moment on, as `from to`.
fn next(windows: &[Window], from: &str, count: usize) -> Vec<String> {
    let written = |opening: Opening| {
        let end = opening.closes_at.map_or("never".to_owned(), |end| end.to_string());
        format!("{} {end}", opening.opens_at).replace(":00.000Z", "")
    };
    openings(windows, time(from)).take(count).map(written).collect()
}

/// The case, a day, start and end, the zone, from when on, and the opening that is expected.
type ChangeOfClocks =
    (&'static str, Weekday, (&'static str, &'static str), &'static str, &'static str, &'static str);

const CHANGES_OF_CLOCKS: &[ChangeOfClocks] = &[
    (
        "its start is skipped: it opens when the clocks jump",
        Weekday::Sun,
        ("02:30", "06:00"),
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-29T01:00 2026-03-29T04:00",
    ),
    (
        "all of it is skipped: it opens when the clocks jump, for as long as it is written",
        Weekday::Sun,
        ("02:00", "03:00"),
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-29T01:00 2026-03-29T02:00",
    ),
    (
        "its end is skipped: it closes when the clocks jump",
        Weekday::Sat,
        ("22:00", "02:30"),
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-28T21:00 2026-03-29T01:00",
    ),
    (
        "its start comes twice: the first time counts",
        Weekday::Sun,
        ("02:30", "04:00"),
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-25T00:30 2026-10-25T03:00",
    ),
    (
        "its end comes twice: the first time counts",
        Weekday::Sat,
        ("22:00", "02:30"),
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-24T20:00 2026-10-25T00:30",
    ),
    (
        "all of it comes twice: it is open once",
        Weekday::Sun,
        ("02:10", "02:20"),
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-25T00:10 2026-10-25T00:20",
    ),
    (
        "half an hour is skipped",
        Weekday::Sun,
        ("02:15", "02:45"),
        "Australia/Lord_Howe",
        "2026-10-03T00:00:00Z",
        "2026-10-03T15:30 2026-10-03T15:45",
    ),
    (
        "the whole day is skipped: it comes as the next one begins",
        Weekday::Fri,
        ("20:00", "22:00"),
        "Pacific/Apia",
        "2011-12-29T00:00:00Z",
        "2011-12-30T10:00 2011-12-30T12:00",
    ),
];

/// O8: on the days on which clocks change, every window comes.
#[test]
fn o8_a_window_comes_on_each_of_its_days_whatever_the_clocks_do() {
    for (case, day, hours, zone, from, expected) in CHANGES_OF_CLOCKS {
        let windows = [window(&[*day], hours.0, hours.1, zone)];
        assert_eq!(next(&windows, from, 1), [*expected], "{case}");
    }
}

#[test]
fn a_window_that_ends_before_it_starts_runs_into_the_next_day_which_is_not_its_own() {
    use Weekday::{Mon, Sat, Sun};
    let night = [window(&[Sat], "22:00", "04:00", "UTC")];
    let expected = ["2026-11-21T22:00 2026-11-22T04:00", "2026-11-28T22:00 2026-11-29T04:00"];
    assert_eq!(next(&night, "2026-11-21T09:00:00Z", 2), expected);
    assert_eq!(next(&night, "2026-11-22T03:59:59Z", 1), expected[..1], "still open");
    assert_eq!(next(&night, "2026-11-22T04:00:00Z", 1), expected[1..], "closed at its end");
    // The day before its own is no day of it, although the clock shows a time that is in it.
    assert_eq!(at(&night, time("2026-11-21T03:00:00Z")), closed("2026-11-21T22:00:00Z"));
    let weekend = [window(&[Sun, Sat], "00:00", "00:00", "UTC")];
    assert_eq!(next(&weekend, "2026-11-20T09:00:00Z", 1), ["2026-11-21T00:00 2026-11-23T00:00"]);
    let two = [window(&[Sun], "20:00", "00:00", "UTC"), window(&[Mon], "00:00", "02:00", "UTC")];
    assert_eq!(next(&two, "2026-11-20T09:00:00Z", 1), ["2026-11-22T20:00 2026-11-23T02:00"]);
}

#[test]
fn windows_without_a_pause_have_no_end_and_none_at_all_are_always_open() {
    let always = [window(&Weekday::ALL, "00:00", "00:00", "Europe/Berlin")];
    let found: Vec<Opening> = openings(&always, time("2026-11-21T09:00:00Z")).collect();
    assert!(matches!(found[..], [Opening { closes_at: None, .. }]), "{found:?}");
    assert_eq!(at(&always, time("2026-11-21T09:00:00Z")), WindowState::Open);
    assert_eq!(at(&[], time("2026-11-21T09:00:00Z")), WindowState::Open);
    assert_eq!(openings(&[], time("2026-11-21T09:00:00Z")).count(), 0);
    // The end of what can be written is an end as well.
    assert!(openings(&always[..], time("9999-12-31T23:00:00Z")).count() <= 1);
}

#[test]
fn a_zone_that_is_not_known_is_no_reason_to_dispatch() {
    let nowhere = window(&[Weekday::Sat], "00:00", "00:00", "Atlantis/Capital");
    assert!(!knows_zone(&nowhere.tz));
    let now = time("2026-11-21T09:00:00Z");
    let none_known = at(std::slice::from_ref(&nowhere), now);
    assert_eq!(none_known, WindowState::Closed { opens_at: None });
    let both = [nowhere, window(&[Weekday::Sat], "10:00", "11:00", "UTC")];
    assert_eq!(at(&both, now), closed("2026-11-21T10:00:00Z"), "the other one counts");
}

fn closed(opens_at: &str) -> WindowState {
    WindowState::Closed { opens_at: Some(time(opens_at)) }
}

/// Every minute of some weeks, and what the clocks of a zone show in each. It never asks what a local
/// time means, only what is shown now.
struct Minutes {
    begin: i64,
    shown: Vec<NaiveDateTime>,
}

impl Minutes {
    fn of(zone: Tz, begin: i64, count: i64) -> Self {
        let show = |minute: i64| {
            let utc = DateTime::from_timestamp(minute * 60, 0).unwrap().naive_utc();
            zone.from_utc_datetime(&utc).naive_local()
        };
        Self { begin, shown: (begin..begin + count).map(show).collect() }
    }

    /// The first minute at which the clock shows `local` or later.
    fn first(&self, local: NaiveDateTime) -> Option<usize> {
        // Clocks are less than two days from UTC.
        let near = local.and_utc().timestamp() / 60 - self.begin - 2 * 24 * 60;
        let skip = usize::try_from(near).unwrap_or(0);
        self.shown.iter().skip(skip).position(|shown| *shown >= local).map(|at| at + skip)
    }

    /// For each minute, whether the window is open.
    fn open(&self, window: &Window) -> Vec<bool> {
        let mut open = vec![false; self.shown.len()];
        let (first, last) = (self.shown[0].date(), self.shown[self.shown.len() - 1].date());
        let days = std::iter::successors(Some(first), |day| day.succ_opt());
        for day in days.take_while(|day| *day <= last) {
            if !window
                .days
                .iter()
                .any(|d| day.format("%a").to_string().to_lowercase() == d.as_str())
            {
                continue;
            }
            let clock = |day: NaiveDate, time: &str| {
                day.and_time(chrono::NaiveTime::parse_from_str(time, "%H:%M").unwrap())
            };
            let (start, end) = (window.start.to_string(), window.end.to_string());
            let start = clock(day, &start);
            let mut end = clock(day, &end);
            if end <= start {
                end = end + Days::new(1);
            }
            let Some(opens) = self.first(start) else { continue };
            let mut closes = self.first(end).unwrap_or(open.len());
            if closes <= opens {
                closes = opens + usize::try_from((end - start).num_minutes()).unwrap();
            }
            let closes = closes.min(open.len());
            open[opens..closes].fill(true);
        }
        open
    }
}

/// Weeks that are walked through before, within and after what is compared, in minutes.
const BEFORE: i64 = 11 * 24 * 60;
const WITHIN: i64 = 9 * 24 * 60;
const AFTER: i64 = 11 * 24 * 60;

/// Moments shortly before clocks change in each zone, from 2008 to 2037, in minutes.
static CHANGES: LazyLock<BTreeMap<&str, Vec<i64>>> =
    LazyLock::new(|| ZONES.iter().map(|zone| (*zone, changes(zone.parse().unwrap()))).collect());

fn changes(zone: Tz) -> Vec<i64> {
    let hours = (2008 - 1970) * 8766..(2037 - 1970) * 8766_i64;
    let shown = |hour: i64| {
        let utc = DateTime::from_timestamp(hour * 3600, 0).unwrap().naive_utc();
        zone.from_utc_datetime(&utc).naive_local() - utc
    };
    hours.filter(|hour| shown(*hour) != shown(hour + 1)).map(|hour| hour * 60).collect()
}

fn check(zone: &str, windows: &[Window], begin: i64) {
    let zone: Tz = zone.parse().unwrap();
    let minutes = Minutes::of(zone, begin - BEFORE, BEFORE + WITHIN + AFTER);
    let mut open = vec![false; minutes.shown.len()];
    for window in windows {
        open.iter_mut().zip(minutes.open(window)).for_each(|(any, this)| *any |= this);
    }
    let stamp = |index: usize| {
        let minute = minutes.begin + i64::try_from(index).unwrap();
        Timestamp::from_unix_millis(minute * 60_000)
    };
    let within = usize::try_from(BEFORE).unwrap()..usize::try_from(BEFORE + WITHIN).unwrap();
    for index in within.step_by(23) {
        let now = stamp(index);
        let change = open[index..].iter().position(|o| *o != open[index]).map(|n| stamp(index + n));
        let first = openings(windows, now).next().unwrap();
        if open[index] {
            assert_eq!(at(windows, now), WindowState::Open, "{now} {windows:?}");
            assert!(first.opens_at <= now);
            let longer_than_we_look = first.closes_at.is_none_or(|end| end > stamp(open.len() - 1));
            assert!(first.closes_at == change || (change.is_none() && longer_than_we_look));
            if let Some(before) = open[..index].iter().rposition(|o| !o)
                && first.closes_at.is_some()
            {
                assert_eq!(first.opens_at, stamp(before + 1), "{now} {windows:?}");
            }
        } else {
            assert_eq!(
                at(windows, now),
                WindowState::Closed { opens_at: change },
                "{now} {windows:?}"
            );
            assert_eq!(Some(first.opens_at), change, "{now} {windows:?}");
        }
    }
}

fn any_window(zone: &'static str) -> impl Strategy<Value = Window> {
    let days = proptest::sample::subsequence(Weekday::ALL.to_vec(), 1..=7);
    // Clocks change at night: most of the times are there.
    let clock = || {
        let near = (0_u32..5, 0_u32..60);
        let any = (0_u32..24, 0_u32..60);
        prop_oneof![3 => near, 1 => any].prop_map(|(h, m)| format!("{h:02}:{m:02}"))
    };
    (days, clock(), clock()).prop_map(move |(days, start, end)| window(&days, &start, &end, zone))
}

fn any_case() -> impl Strategy<Value = (&'static str, Vec<Window>, i64)> {
    let zone = proptest::sample::select(&ZONES[..]);
    zone.prop_flat_map(|zone| {
        let windows = proptest::collection::vec(any_window(zone), 1..=3);
        // 2008 to 2037; and, where there are any, days on which clocks change.
        let anywhere = (13_880_i64 * 24 * 60..24_450 * 24 * 60).boxed();
        let changes = CHANGES[zone].clone();
        let begin = if changes.is_empty() {
            anywhere
        } else {
            let near = (proptest::sample::select(changes), 0..WITHIN);
            prop_oneof![1 => anywhere, 4 => near.prop_map(|(at, ahead)| at - ahead)].boxed()
        };
        (Just(zone), windows, begin)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// O8: over decades of six zones, minute by minute.
    #[test]
    fn o8_openings_are_those_of_a_clock_that_is_watched((zone, windows, begin) in any_case()) {
        check(zone, &windows, begin);
    }
}
