//! How long to wait before the next try: capped exponential, with full jitter, also at the cap
//! (O1: after an outage the whole fleet must not come back at once).

use std::time::Duration;

use super::error::ClientError;

/// Counts failures in a row and says how long to wait after each.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits between nothing and `base` after the first failure, twice that after each further
    /// one, and between nothing and `cap` at most.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Forgets the failures so far.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The longest wait after the failures so far.
    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// Counts a failure and returns the wait before the next try.
    pub fn after_failure(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(fastrand::f64())
    }

    /// As [`Self::after_failure`], and not before the control plane said so: its `Retry-After` is
    /// honoured and spread over up to the same time again.
    pub fn after_error(&mut self, error: &ClientError) -> Duration {
        let jitter = self.after_failure();
        match error.retry_after() {
            Some(wait) => wait + jitter.min(wait),
            None => jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_waits_grow_to_the_cap_and_are_jittered_there_too() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut ceilings = Vec::new();
        for _ in 0..10 {
            ceilings.push(backoff.ceiling().as_millis());
            backoff.after_failure();
        }
        assert_eq!(ceilings[..4], [100, 200, 400, 800]);
        assert_eq!(ceilings[9], 10_000);
        let at_cap: Vec<Duration> = (0..200).map(|_| backoff.after_failure()).collect();
        let second = Duration::from_secs(1);
        assert!(at_cap.iter().all(|wait| *wait <= second * 10));
        assert!(at_cap.iter().any(|wait| *wait < second * 3), "never short at the cap");
        assert!(at_cap.iter().any(|wait| *wait > second * 7), "never long at the cap");
    }

    #[test]
    fn retry_after_is_waited_for() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let busy = ClientError::Status { status: 503, retry_after: Some(Duration::from_secs(7)) };
        let wait = backoff.after_error(&busy);
        assert!(wait >= Duration::from_secs(7) && wait <= Duration::from_secs(14));
    }
}
