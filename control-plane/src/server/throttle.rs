//! So many bytes a second go out as content, all downloads together and in turn.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A piece that timers let go late is made up for when it is no later than this, and after a pause so much goes at
/// once: too little for anybody else to wait for long.
const MADE_UP_FOR: Duration = Duration::from_millis(10);

/// Gives each piece the time at which it goes.
///
/// Nobody holds anything while waiting: whoever takes nothing, or goes away, costs the others one piece's time.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: NonZeroU32,
    /// When all that has been given a time has gone.
    free_at: Mutex<Instant>,
}

impl Throttle {
    /// So many bytes a second; none with 0.
    pub(super) fn of(bytes_per_second: u32, now: Instant) -> Option<Self> {
        let bytes_per_second = NonZeroU32::new(bytes_per_second)?;
        Some(Self { bytes_per_second, free_at: Mutex::new(now) })
    }

    /// When a piece of so many bytes goes that is ready now.
    pub(super) fn departure(&self, now: Instant, bytes: usize) -> Instant {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let takes = Duration::from_secs(bytes) / self.bytes_per_second.get();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let departure = (*free_at).max(now.checked_sub(MADE_UP_FOR).unwrap_or(now));
        *free_at = departure + takes;
        departure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 64 * 1024;

    /// G14: the pace is what was asked for, from a slow line to the fastest that can be said.
    #[test]
    fn g14_content_goes_at_the_pace_that_was_asked_for() {
        for bytes_per_second in
            [1, 1_000, 1_000_000, 125_000_000, 750_000_000, 1_250_000_000, u32::MAX]
        {
            let start = Instant::now();
            let throttle = Throttle::of(bytes_per_second, start).unwrap();
            let pieces = (0..1_000).map(|_| throttle.departure(start, PIECE));
            let took = pieces.last().unwrap().duration_since(start).as_secs_f64();
            #[allow(clippy::cast_precision_loss, reason = "65 million")]
            let pace = (999 * PIECE) as f64 / took / f64::from(bytes_per_second);
            assert!((0.999..1.001).contains(&pace), "{pace} of {bytes_per_second}");
        }
    }

    /// G14: what was not used is not saved up, else everything would go at once after a quiet night.
    #[test]
    fn g14_after_a_pause_a_hundredth_of_a_second_goes_at_once() {
        let start = Instant::now();
        let throttle = Throttle::of(125_000_000, start).unwrap();
        let later = start + Duration::from_secs(3_600);
        let at_once = (0..1_000).map(|_| throttle.departure(later, PIECE));
        // 1.25 MB are nineteen pieces, and the one that begins when they have gone.
        assert_eq!(at_once.filter(|departure| *departure <= later).count(), 20);
    }

    /// G14: a timer that fires late does not make the whole slower.
    #[test]
    fn g14_late_timers_are_made_up_for() {
        let start = Instant::now();
        let throttle = Throttle::of(125_000_000, start).unwrap();
        let late = Duration::from_millis(2);
        let mut now = start;
        for _ in 0..2_000 {
            let departure = throttle.departure(now, PIECE);
            if departure > now {
                now = departure + late;
            }
        }
        let pieces = Duration::from_secs(2_000 * PIECE as u64) / 125_000_000;
        assert!(now.duration_since(start) < pieces + late, "{:?}", now.duration_since(start));
    }
}
