//! How the hosts of a swarm behave: the same seed gives the same hosts the same fate.
//!
//! Not here: carrying it out (see [`super::host`]).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use wavegate_proto::ids::{ClosureId, HostName};

/// How hosts behave.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// The same seed, the same fate.
    pub seed: u64,
    /// The share of activations that are followed by failing health, 0 to 1.
    pub fail: f64,
    /// The share of hosts that never speak, 0 to 1.
    pub offline: f64,
    /// The share of requests that are lost, 0 to 1.
    pub loss: f64,
    /// How much longer every request takes.
    pub latency: Duration,
    /// The longest an activation takes; the shortest is a tenth of it.
    pub activation: Duration,
    /// How long an agent runs on average before it is killed and started again; `None`: until the end.
    pub restart_every: Option<Duration>,
    /// When every connection is cut at once.
    pub storm_after: Option<Duration>,
}

impl Behaviour {
    /// Whether a closure is healthy on a host.
    #[must_use]
    pub fn is_healthy(&self, host: &HostName, closure: &ClosureId) -> bool {
        self.draw(&(host.as_str(), closure.to_string())) >= self.fail
    }

    /// Whether a host never speaks.
    #[must_use]
    pub fn is_offline(&self, host: &HostName) -> bool {
        self.draw(&(host.as_str(), "offline")) < self.offline
    }

    /// A number from 0 to 1 that belongs to `what`.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    fn draw(&self, what: &impl std::hash::Hash) -> f64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        (hasher.finish() >> 12) as f64 / (1_u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour(fail: f64, offline: f64) -> Behaviour {
        Behaviour {
            seed: 7,
            fail,
            offline,
            loss: 0.0,
            latency: Duration::ZERO,
            activation: Duration::from_secs(1),
            restart_every: None,
            storm_after: None,
        }
    }

    #[test]
    fn a_share_of_the_hosts_fails_and_it_is_always_the_same() {
        let closure: ClosureId = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let hosts: Vec<HostName> = (0..10_000).map(|n| format!("h{n}").parse().unwrap()).collect();
        let failing = |share: f64| -> Vec<&HostName> {
            let behaviour = behaviour(share, 0.0);
            hosts.iter().filter(|host| !behaviour.is_healthy(host, &closure)).collect()
        };
        assert_eq!(failing(0.0).len(), 0);
        assert_eq!(failing(1.0).len(), 10_000);
        let few = failing(0.02);
        assert!((150..250).contains(&few.len()), "{}", few.len());
        assert_eq!(few, failing(0.02));
        let silent = hosts.iter().filter(|host| behaviour(0.0, 0.1).is_offline(host)).count();
        assert!((900..1100).contains(&silent), "{silent}");
    }
}
