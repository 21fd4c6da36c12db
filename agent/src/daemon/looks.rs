//! When to look for drift: every so often, and sooner where a signal came.
//!
//! A signal brings a look at what it was about; the look at everything comes when it would have come without. Signals
//! come in bursts, and our own corrections make some, too: a look waits until it has been quiet, looks by signals keep their
//! distance, and what gives signals all the time is left to the look at everything.
//! Not here: looking (see [`super::drift`]), where signals come from (see [`crate::resources::watch`]). No clock: the time is an
//! argument.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use wavegate_proto::ids::ResourceId;
use wavegate_proto::time::Mono;

use crate::resources::watch::Touched;

/// A look waits until no signal has come for so long.
pub(super) const QUIET_MILLIS: u64 = 1000;

/// But not longer than this, however many come; and looks by signals keep this distance.
pub(super) const DISTANCE_MILLIS: u64 = 10_000;

/// So many looks at one resource are brought about by signals within [`WINDOW_MILLIS`]. More than a storm of
/// corrections takes to be seen: each is two, one that corrects and one that finds its trace.
pub(super) const MAX_LOOKS: usize = 20;

/// The time in which looks are counted.
pub(super) const WINDOW_MILLIS: u64 = 3_600_000;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that the bundle names, and what else is ours.
    Everything,
    /// These resources.
    Only(BTreeSet<ResourceId>),
}

/// Signals that no look has followed yet.
#[derive(Debug)]
struct Burst {
    first: Mono,
    last: Mono,
    about: BTreeSet<Touched>,
}

/// When to look next.
#[derive(Debug)]
pub(super) struct Looks {
    /// The next look that needs no signal.
    regular_at: Mono,
    burst: Option<Burst>,
    /// The last look that a signal brought about.
    by_signal: Option<Mono>,
    /// Those of late, oldest first, by what they were about.
    of_late: BTreeMap<Touched, VecDeque<Mono>>,
}

impl Looks {
    /// The first regular look comes after `interval`.
    pub(super) fn new(now: Mono, interval: Duration) -> Self {
        Self {
            regular_at: after(now, interval),
            burst: None,
            by_signal: None,
            of_late: BTreeMap::new(),
        }
    }

    /// There were signals about these.
    pub(super) fn touched(&mut self, now: Mono, about: BTreeSet<Touched>) {
        let about: BTreeSet<Touched> =
            about.into_iter().filter(|touched| !self.is_too_often(now, touched)).collect();
        if about.is_empty() {
            return;
        }
        let burst = self.burst.get_or_insert_with(|| Burst {
            first: now,
            last: now,
            about: BTreeSet::new(),
        });
        burst.last = now;
        burst.about.extend(about);
    }

    /// Something else runs now, or nothing: what was touched of the one before counts no more.
    pub(super) fn forget_signals(&mut self) {
        self.burst = None;
        self.of_late.clear();
    }

    /// When the next look is due.
    pub(super) fn next_at(&self) -> Mono {
        self.burst_at().map_or(self.regular_at, |at| at.min(self.regular_at))
    }

    /// What to look at now; `None`: nothing yet. A regular look takes what was touched with it, and the next one comes
    /// after `interval`.
    pub(super) fn due(&mut self, now: Mono, interval: Duration) -> Option<Scope> {
        if self.regular_at <= now {
            self.regular_at = after(now, interval);
            self.burst = None;
            return Some(Scope::Everything);
        }
        if self.burst_at().is_none_or(|at| at > now) {
            return None;
        }
        let about = self.burst.take()?.about;
        self.by_signal = Some(now);
        let mut ids = BTreeSet::new();
        for touched in &about {
            self.of_late.entry(touched.clone()).or_default().push_back(now);
            if let Touched::Resource(id) = touched {
                ids.insert(id.clone());
            }
        }
        Some(if about.contains(&Touched::Everything) {
            Scope::Everything
        } else {
            Scope::Only(ids)
        })
    }

    fn burst_at(&self) -> Option<Mono> {
        let burst = self.burst.as_ref()?;
        let quiet = burst.last.plus_millis(QUIET_MILLIS);
        let at = quiet.min(burst.first.plus_millis(DISTANCE_MILLIS));
        let apart = self.by_signal.map(|last| last.plus_millis(DISTANCE_MILLIS));
        Some(apart.map_or(at, |apart| at.max(apart)))
    }

    fn is_too_often(&mut self, now: Mono, touched: &Touched) -> bool {
        let Some(looks) = self.of_late.get_mut(touched) else { return false };
        looks.retain(|at| now.millis_since(*at) < WINDOW_MILLIS);
        looks.len() >= MAX_LOOKS
    }
}

fn after(now: Mono, interval: Duration) -> Mono {
    now.plus_millis(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: Duration = Duration::from_secs(6 * 3600);

    fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    fn about(names: &str) -> BTreeSet<Touched> {
        let touched = |name: &str| match name {
            "*" => Touched::Everything,
            id => Touched::Resource(ResourceId::new(id).unwrap()),
        };
        names.split(',').map(touched).collect()
    }

    /// The looks that follow signals at these times, each `millis: what`, until `end`.
    fn looks(interval: Duration, signals: &[(u64, &str)], end: u64) -> Vec<String> {
        let mut looks = Looks::new(at(0), interval);
        let mut signals = signals.iter().peekable();
        let mut seen = Vec::new();
        loop {
            let next = looks.next_at().millis();
            if let Some((millis, names)) = signals.next_if(|(millis, _)| *millis <= next) {
                looks.touched(at(*millis), about(names));
                continue;
            }
            if next > end {
                return seen;
            }
            match looks.due(at(next), interval) {
                None => {}
                Some(Scope::Everything) => seen.push(format!("{next}: *")),
                Some(Scope::Only(ids)) => {
                    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                    seen.push(format!("{next}: {}", ids.join(",")));
                }
            }
        }
    }

    /// What it shows, the interval, the signals, and the looks that follow.
    type Case<'a> = (&'a str, Duration, &'a [(u64, &'a str)], &'a [&'a str]);

    #[test]
    fn looks_follow_signals_and_the_regular_ones_stay_where_they_are() {
        let minute = Duration::from_secs(60);
        let table: [Case<'_>; 7] = [
            ("without signals, the regular looks alone", minute, &[], &["60000: *", "120000: *"]),
            ("a signal brings a look once it is quiet", HOURS, &[(5000, "a")], &["6000: a"]),
            (
                "a burst is one look, at all it was about",
                HOURS,
                &[(5000, "a"), (5300, "b"), (6200, "a")],
                &["7200: a,b"],
            ),
            (
                "the trace of our own correction is looked at once, at a distance",
                HOURS,
                &[(5000, "a"), (6010, "a")],
                &["6000: a", "16000: a"],
            ),
            (
                "signals without end do not put a look off for ever",
                HOURS,
                &[
                    (0, "a"),
                    (900, "a"),
                    (1800, "a"),
                    (2700, "a"),
                    (3600, "a"),
                    (4500, "a"),
                    (5400, "a"),
                    (6300, "a"),
                    (7200, "a"),
                    (8100, "a"),
                    (9000, "a"),
                    (9900, "b"),
                    (10_800, "b"),
                ],
                &["10000: a,b", "20000: b"],
            ),
            ("lost signals mean everything", HOURS, &[(1, "a"), (2, "*")], &["1002: *"]),
            (
                "a regular look takes what was touched with it, and is not put off by it",
                minute,
                &[(30_000, "a"), (59_500, "a")],
                &["31000: a", "60000: *", "120000: *"],
            ),
        ];
        for (what, interval, signals, expected) in table {
            assert_eq!(looks(interval, signals, 125_000), expected, "{what}");
        }
    }

    #[test]
    fn what_gives_signals_all_the_time_is_left_to_the_regular_look() {
        let hour = 3_600_000;
        let noisy: Vec<(u64, &str)> = (0..hour / 5000).map(|n| (n * 5000, "noisy")).collect();
        let mut signals = noisy;
        signals.push((hour - 2000, "calm"));
        let seen = looks(HOURS, &signals, hour);
        assert_eq!(seen.len(), MAX_LOOKS + 1, "{seen:?}");
        assert_eq!(seen.last().unwrap(), &format!("{}: calm", hour - 1000));
        // An hour after the first of them it counts again.
        signals.push((hour + 3000, "noisy"));
        let later = looks(HOURS, &signals, hour + 20_000);
        assert_eq!(later.last().unwrap(), &format!("{}: noisy", hour + 9000));
    }

    #[test]
    fn what_was_touched_of_another_bundle_is_forgotten() {
        let mut looks = Looks::new(at(0), HOURS);
        looks.touched(at(10), about("a"));
        looks.forget_signals();
        assert_eq!(looks.next_at(), at(6 * 3_600_000));
        assert_eq!(looks.due(at(5000), HOURS), None);
    }
}
