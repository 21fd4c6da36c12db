//! The latest time that is known to have been: nothing is judged by a clock that shows an earlier one.
//!
//! A clock that was set back makes what is stale fresh again, and a certificate that has begun not valid
//! yet. What raises the floor is vouched for by somebody else: the date of a signed document that was
//! fresh, or two machines whose clocks agree. A clock that runs ahead alone raises nothing, since a floor
//! never comes down again.
//!
//! Not here: keeping it on a disk, reading clocks.

use crate::time::Timestamp;

/// How far two clocks may be apart and still agree, in seconds: as far as a document may be dated in the
/// future ([`crate::artifact::rules::MAX_FUTURE_SECS`]).
pub const CLOCK_TOLERANCE_SECS: u64 = crate::artifact::rules::MAX_FUTURE_SECS;

/// The latest time that is known to have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeFloor {
    at: Timestamp,
}

impl TimeFloor {
    /// A floor at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self { at }
    }

    /// Where it is.
    #[must_use]
    pub fn at(self) -> Timestamp {
        self.at
    }

    /// The time to judge by when the clock shows `wall`.
    #[must_use]
    pub fn lift(self, wall: Timestamp) -> Timestamp {
        wall.max(self.at)
    }

    /// By how much the clock that shows `wall` is certainly behind, in seconds; small steps back are none.
    #[must_use]
    pub fn behind_secs(self, wall: Timestamp) -> Option<u64> {
        let behind = u64::try_from(self.at.secs_since(wall)).ok()?;
        (behind > CLOCK_TOLERANCE_SECS).then_some(behind)
    }

    /// A document dated `signed_at` was found fresh by a clock that shows `wall`.
    pub fn signed(&mut self, signed_at: Timestamp, wall: Timestamp) {
        self.at = self.at.max(signed_at.min(wall));
    }

    /// Another machine's clock shows `other` while ours shows `wall`. Says whether the two agree.
    pub fn compare(&mut self, wall: Timestamp, other: Timestamp) -> bool {
        let agree = wall.secs_since(other).unsigned_abs() <= CLOCK_TOLERANCE_SECS;
        if agree {
            self.at = self.at.max(wall.min(other));
        }
        agree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_unix_millis(secs * 1000)
    }

    #[test]
    fn what_others_vouch_for_raises_it_and_nothing_lowers_it() {
        let mut floor = TimeFloor::default();
        floor.signed(at(1000), at(1500));
        assert_eq!(floor.at(), at(1000));
        assert!(floor.compare(at(2000), at(1990)));
        assert_eq!(floor.at(), at(1990));
        floor.signed(at(1200), at(1500));
        assert!(floor.compare(at(500), at(500)));
        assert_eq!(floor.at(), at(1990));
    }

    #[test]
    fn a_clock_that_runs_ahead_alone_raises_nothing() {
        let mut floor = TimeFloor::new(at(1000));
        assert!(!floor.compare(at(90_000_000), at(1100)));
        assert!(!floor.compare(at(1100), at(90_000_000)));
        // A document from the future is not believed beyond the own clock either.
        floor.signed(at(90_000_000), at(1100));
        assert_eq!(floor.at(), at(1100));
    }

    #[test]
    fn a_clock_behind_it_is_lifted_and_the_difference_is_known() {
        let floor = TimeFloor::new(at(10_000));
        assert_eq!((floor.lift(at(5000)), floor.lift(at(20_000))), (at(10_000), at(20_000)));
        assert_eq!(floor.behind_secs(at(5000)), Some(5000));
        assert_eq!(floor.behind_secs(at(9970)), None);
        assert_eq!(floor.behind_secs(at(20_000)), None);
    }
}
