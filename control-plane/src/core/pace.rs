//! How often hosts are to send heartbeats: less often while the control plane has more to do than it gets done,
//! never so seldom that silence is taken for death. A host that is being worked on keeps the ordinary pace.
//!
//! Not here: how busy the process is (its shell says, see [`crate::service`]).

use wavegate_proto::ids::HostName;

use super::Core;

/// More busy than this, in percent of the time, and heartbeats become rarer.
const TOO_BUSY_PERCENT: u32 = 75;

/// Less busy than this, and they become more frequent again.
const QUIET_PERCENT: u32 = 40;

/// The ordinary pace, in percent of itself.
const ORDINARY: u64 = 100;

/// At most so much rarer, in percent of the ordinary interval.
const RAREST: u64 = 1000;

/// Of the time after which silence counts, a heartbeat may take this part: two may be lost.
const PART_OF_PATIENCE: u64 = 3;

/// The longest interval an agent accepts, in seconds.
const LONGEST_SECS: u64 = 600;

/// How much rarer heartbeats are than ordinarily, in percent of the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace(u64);

impl Default for Pace {
    fn default() -> Self {
        Self(ORDINARY)
    }
}

impl Pace {
    /// Takes in for how many percent of the time since the last call the process was deciding.
    pub(super) fn hear(&mut self, busy_percent: u32) {
        if busy_percent > TOO_BUSY_PERCENT {
            self.0 = (self.0 * 3 / 2).min(RAREST);
        } else if busy_percent < QUIET_PERCENT {
            self.0 = (self.0 * 2 / 3).max(ORDINARY);
        }
    }

    /// The interval for a host whose silence counts after `patience_secs`.
    fn secs(self, ordinary_secs: u64, patience_secs: u64) -> u64 {
        let longest = (patience_secs / PART_OF_PATIENCE).min(LONGEST_SECS);
        (ordinary_secs.saturating_mul(self.0) / ORDINARY).min(longest).max(ordinary_secs)
    }
}

impl Core {
    /// In how many seconds the host is to send its next heartbeat.
    pub(super) fn next_heartbeat_secs(&self, name: &HostName) -> u64 {
        let ordinary_secs = self.config.heartbeat_secs;
        if self.pace == Pace::default() {
            return ordinary_secs;
        }
        let mut patience_secs = None;
        for (rollout, placement) in self.fleet.records(name) {
            if placement.is_in_flight() || placement.lease.is_some() {
                return ordinary_secs;
            }
            let offline_after_secs = rollout.policy().offline_after_secs;
            patience_secs =
                Some(patience_secs.map_or(offline_after_secs, |p: u64| p.min(offline_after_secs)));
        }
        patience_secs.map_or(ordinary_secs, |secs| self.pace.secs(ordinary_secs, secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_become_rarer_under_load_and_ordinary_again_after_it() {
        let mut pace = Pace::default();
        assert_eq!(pace.secs(60, 300), 60);
        for (busy_percent, secs) in [
            (76, 90),
            (60, 90),
            (99, 100),
            (100, 100),
            (40, 100),
            (0, 100),
            (0, 89),
            (0, 60),
            (0, 60),
        ] {
            pace.hear(busy_percent);
            assert_eq!(pace.secs(60, 300), secs, "after {busy_percent} %: {pace:?}");
        }
    }

    /// The patience of a policy is what bounds it; where that is short, nothing changes.
    #[test]
    fn silence_is_never_taken_for_death_because_of_the_pace() {
        let mut pace = Pace::default();
        (0..20).for_each(|_| pace.hear(100));
        for (ordinary_secs, patience_secs, secs) in
            [(60, 300, 100), (60, 120, 60), (60, 1_000_000, 600), (1, 300, 10), (600, 300, 600)]
        {
            assert_eq!(
                pace.secs(ordinary_secs, patience_secs),
                secs,
                "{ordinary_secs} {patience_secs}"
            );
        }
    }
}
