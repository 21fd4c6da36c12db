//! When the next heartbeat goes out: at the pace that the control plane sets, and apart from the others (O1).

use std::time::Duration;

/// Spreads the heartbeats of a fleet over their interval.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    is_apart: bool,
}

impl Pace {
    /// There was no answer: the whole fleet may have had none, and will have its next one in the same moment.
    pub fn missed(&mut self) {
        self.is_apart = false;
    }

    /// How long to wait after an answer, `random` being from 0 to 1. After a start or a miss any time of the interval:
    /// who spoke at once speaks at once no more. From then on the interval, less up to a tenth.
    pub fn after_answer(&mut self, interval: Duration, random: f64) -> Duration {
        let is_apart = std::mem::replace(&mut self.is_apart, true);
        interval.mul_f64(if is_apart { 0.9 + 0.1 * random } else { random })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// O1: of a fleet that was answered in one moment, no second has twice its share from then on, nor less than half.
    #[test]
    fn o1_a_fleet_that_was_answered_at_once_is_apart_in_the_next_interval() {
        let (hosts, interval_secs) = (15_000_u32, 30_usize);
        let mut random = fastrand::Rng::with_seed(30);
        let mut heard = vec![0_u32; 5 * interval_secs];
        for _ in 0..hosts {
            let (mut pace, mut at) = (Pace::default(), Duration::ZERO);
            pace.after_answer(Duration::from_secs(30), random.f64());
            pace.missed();
            loop {
                at += pace.after_answer(Duration::from_secs(30), random.f64());
                let second = usize::try_from(at.as_secs()).unwrap();
                let Some(count) = heard.get_mut(second) else { break };
                *count += 1;
            }
        }
        let mean = hosts / 30;
        assert!(heard.iter().all(|count| *count < 2 * mean), "{heard:?}");
        assert!(heard.iter().all(|count| *count > mean / 2), "{heard:?}");
    }
}
