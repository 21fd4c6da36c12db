//! How long hosts take from the acknowledgement to convergence, without the soak: what they took so far
//! in this rollout, or else on the channel, or else what the policy lets expect.
//!
//! Both times of a sample are read from the host's own clock, so a clock that is wrong does not matter.

use wavegate_proto::artifact::policy::Policy;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::forecast::Basis;

use crate::fleet::Fleet;
use crate::fleet::rollout::Rollout;

/// With fewer hosts than this the next wider basis is asked.
const MIN_SAMPLES: usize = 3;

/// What is expected of an activation of which nothing is known, in thousandths of its time-out: evenly
/// spread on a logarithmic scale from a sixtieth to a third. With the usual quarter of an hour that is 15
/// seconds to 5 minutes, one minute in the middle.
const OF_TIMEOUT_PERMILLE: [u64; 10] = [17, 23, 32, 44, 61, 84, 115, 159, 219, 302];

/// How long hosts take to activate and to pass their probes, the soak not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// In milliseconds, ascending; never empty.
    millis: Vec<u64>,
    basis: Basis,
}

impl Durations {
    /// What is known of the hosts of a rollout.
    #[must_use]
    pub fn of(fleet: &Fleet, rollout: &Rollout) -> Self {
        let here: Vec<u64> = samples(rollout).collect();
        if here.len() >= MIN_SAMPLES {
            return Self::sorted(here, Basis::Rollout);
        }
        let earlier = fleet
            .rollouts
            .values()
            .filter(|other| other.id.channel == rollout.id.channel && other.order < rollout.order);
        let channel: Vec<u64> = here.into_iter().chain(earlier.flat_map(samples)).collect();
        if channel.len() >= MIN_SAMPLES {
            return Self::sorted(channel, Basis::Channel);
        }
        Self::of_policy(rollout.policy())
    }

    /// What the policy lets expect where nobody has converged yet.
    #[must_use]
    pub fn of_policy(policy: &Policy) -> Self {
        // A time-out in seconds, taken in thousandths, is in milliseconds.
        let millis = OF_TIMEOUT_PERMILLE.map(|part| policy.activation_timeout_secs * part);
        Self::sorted(millis.to_vec(), Basis::Policy)
    }

    fn sorted(mut millis: Vec<u64>, basis: Basis) -> Self {
        millis.sort_unstable();
        Self { millis, basis }
    }

    /// Where they come from.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// What the given share of hosts, 0 to 1, stays below, in seconds; between two samples on the line
    /// between them.
    #[must_use]
    pub fn quantile_secs(&self, share: f64) -> f64 {
        let position = share.clamp(0.0, 1.0) * count(self.millis.len() - 1);
        // Not negative and below the length.
        let below = position.floor() as usize;
        let (low, high) = (self.millis[below], self.millis[(below + 1).min(self.millis.len() - 1)]);
        let millis = float(low) + (float(high) - float(low)) * position.fract();
        millis / 1000.0
    }

    /// What the slowest of `hosts` stays below with probability `share`, in seconds: all of them have to,
    /// and none waits for another.
    #[must_use]
    pub fn slowest_secs(&self, hosts: u64, share: f64) -> f64 {
        self.quantile_secs(share.powf(1.0 / float(hosts.max(1))))
    }

    /// The mean, in seconds.
    #[must_use]
    pub fn mean_secs(&self) -> f64 {
        let sum = self.millis.iter().fold(0.0, |sum, millis| sum + float(*millis));
        sum / count(self.millis.len()) / 1000.0
    }
}

/// Hosts that went the whole way in a rollout: a carried host took no time.
fn samples(rollout: &Rollout) -> impl Iterator<Item = u64> {
    rollout.placements.values().filter_map(|placement| {
        let record = &placement.record;
        record.activation_completed_at?;
        if record.state != HostState::Converged {
            return None;
        }
        let took = record.converged_at?.unix_millis() - record.dispatch_acked_at?.unix_millis();
        let soak_millis = rollout.soak_secs(placement.entry.wave).saturating_mul(1000);
        Some(u64::try_from(took).unwrap_or(0).saturating_sub(soak_millis))
    })
}

/// Milliseconds of a rollout and numbers of hosts stay far below 2^52, where a float holds every integer.
#[allow(clippy::cast_precision_loss)]
fn float(n: u64) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_secs(secs: &[u64]) -> Durations {
        Durations::sorted(secs.iter().map(|secs| secs * 1000).collect(), Basis::Rollout)
    }

    #[track_caller]
    fn close(got: f64, wanted: f64) {
        assert!((got - wanted).abs() < 0.01, "{got} instead of {wanted}");
    }

    #[test]
    fn quantiles_lie_on_the_line_between_samples() {
        let durations = of_secs(&[30, 10, 20]);
        for (share, secs) in
            [(0.0, 10.0), (0.25, 15.0), (0.5, 20.0), (0.9, 28.0), (1.0, 30.0), (7.0, 30.0)]
        {
            close(durations.quantile_secs(share), secs);
        }
        close(of_secs(&[40]).quantile_secs(0.5), 40.0);
        close(durations.mean_secs(), 20.0);
    }

    /// Two hosts are both below x with probability F(x)²; a thousand come close to the slowest sample.
    #[test]
    fn the_slowest_of_many_is_slower_than_one() {
        let durations = of_secs(&[0, 100]);
        for (hosts, secs) in [(0, 50.0), (1, 50.0), (2, 70.71), (10, 93.30), (1000, 99.93)] {
            close(durations.slowest_secs(hosts, 0.5), secs);
        }
    }
}
