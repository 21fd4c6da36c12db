//! So many bytes a second go out as content, all downloads together and in turn.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A piece that timers let go late is made up for when it is no later than this, and after a pause so much goes at
/// once: too little for anybody else to wait for long.
const MADE_UP_FOR: Duration = Duration::from_millis(10);

/// Gives each piece the time at which it goes. Whoever takes nothing costs the others one piece's time, whoever goes away
/// none.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: NonZeroU32,
    /// When all that has been given a time has gone.
    free_at: Mutex<Instant>,
}

/// When a piece goes; given back when it is dropped before.
#[derive(Debug)]
pub(super) struct Slot {
    throttle: Arc<Throttle>,
    pub(super) departure: Instant,
    takes: Duration,
}

impl Throttle {
    /// So many bytes a second; none with 0.
    pub(super) fn of(bytes_per_second: u32, now: Instant) -> Option<Self> {
        let bytes_per_second = NonZeroU32::new(bytes_per_second)?;
        Some(Self { bytes_per_second, free_at: Mutex::new(now) })
    }

    /// The time of a piece of so many bytes that is ready now.
    pub(super) fn slot(self: &Arc<Self>, now: Instant, bytes: usize) -> Slot {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let takes = Duration::from_secs(bytes) / self.bytes_per_second.get();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let departure = (*free_at).max(now.checked_sub(MADE_UP_FOR).unwrap_or(now));
        *free_at = departure + takes;
        Slot { throttle: self.clone(), departure: departure.max(now), takes }
    }
}

impl Slot {
    /// Its piece has gone.
    pub(super) fn used(mut self) {
        self.takes = Duration::ZERO;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.takes.is_zero() {
            return;
        }
        let mut free_at = self.throttle.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = free_at.checked_sub(self.takes).unwrap_or(*free_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 64 * 1024;

    fn throttle(bytes_per_second: u32, start: Instant) -> Arc<Throttle> {
        Arc::new(Throttle::of(bytes_per_second, start).unwrap())
    }

    /// When a piece goes that does go.
    fn departure(throttle: &Arc<Throttle>, now: Instant) -> Instant {
        let slot = throttle.slot(now, PIECE);
        let departure = slot.departure;
        slot.used();
        departure
    }

    /// G14: one who asks and goes away, over and over, leaves the others their pace.
    #[test]
    fn g14_what_does_not_go_costs_nobody_anything() {
        let start = Instant::now();
        let throttle = throttle(1_000_000, start);
        departure(&throttle, start);
        for _ in 0..1_000 {
            drop(throttle.slot(start, PIECE));
        }
        let next = departure(&throttle, start).duration_since(start);
        assert_eq!(next, Duration::from_micros(65_536));
    }

    /// G14: the pace is what was asked for, from a slow line to the fastest that can be said.
    #[test]
    fn g14_content_goes_at_the_pace_that_was_asked_for() {
        for bytes_per_second in
            [1, 1_000, 1_000_000, 125_000_000, 750_000_000, 1_250_000_000, u32::MAX]
        {
            let start = Instant::now();
            let throttle = throttle(bytes_per_second, start);
            let mut last = start;
            for _ in 0..1_000 {
                last = departure(&throttle, start);
            }
            let took = last.duration_since(start).as_secs_f64();
            #[allow(clippy::cast_precision_loss, reason = "65 million")]
            let pace = (999 * PIECE) as f64 / took / f64::from(bytes_per_second);
            assert!((0.999..1.001).contains(&pace), "{pace} of {bytes_per_second}");
        }
    }

    /// G14: what was not used is not saved up, else everything would go at once after a quiet night.
    #[test]
    fn g14_after_a_pause_a_hundredth_of_a_second_goes_at_once() {
        let start = Instant::now();
        let throttle = throttle(125_000_000, start);
        let later = start + Duration::from_secs(3_600);
        let at_once = (0..1_000).map(|_| departure(&throttle, later));
        // 1.25 MB are nineteen pieces, and the one that begins when they have gone.
        assert_eq!(at_once.filter(|departure| *departure <= later).count(), 20);
    }

    /// G14: a timer that fires late does not make the whole slower.
    #[test]
    fn g14_late_timers_are_made_up_for() {
        let start = Instant::now();
        let throttle = throttle(125_000_000, start);
        let late = Duration::from_millis(2);
        let mut now = start;
        for _ in 0..2_000 {
            let departure = departure(&throttle, now);
            if departure > now {
                now = departure + late;
            }
        }
        let pieces = Duration::from_secs(2_000 * PIECE as u64) / 125_000_000;
        assert!(now.duration_since(start) < pieces + late, "{:?}", now.duration_since(start));
    }
}
