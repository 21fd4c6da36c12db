//! Cores to try things out on: what is done with them happens to nobody.
//!
//! Not here: what is tried out (see [`crate::forecast`]).

use uuid::Uuid;
use wavegate_proto::ids::{CpEpoch, FleetName};
use wavegate_proto::time::Now;
use wavegate_reconciler::fleet::recovering::Recovering;

use super::checkpoint::LogHistory;
use super::{Core, CoreConfig, EchoKey, LogEnd};

impl Core {
    /// The core as it stands, without those who wait for an answer. Costs as much as the fleet is large.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut fork = self.clone();
        fork.polls.clear();
        fork.outputs.clear();
        // Nobody is shown the end of a log that does not exist.
        fork.history = LogHistory::at_start(LogEnd::default());
        fork
    }

    /// A core that has long been running for a fleet of which nothing is known yet.
    #[must_use]
    pub fn rehearsal(fleet: FleetName, heartbeat_secs: u64, now: Now) -> Self {
        let epoch = CpEpoch(Uuid::nil());
        let config = CoreConfig {
            fleet,
            heartbeat_secs,
            version: String::new(),
            retain_secs: u64::MAX,
            next_epoch: epoch,
            echo_key: EchoKey([0; 32]),
        };
        let mut core = Self::without_rows(config, epoch, LogEnd::default(), now);
        core.fleet.recovering = Recovering {
            deadline: Some(now.mono),
            opened_at: Some(now.mono),
            ..Recovering::at_start(false)
        };
        core
    }
}
