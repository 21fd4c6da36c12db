//! Holds while a host of an earlier channel's current rollout is not done. A channel on which nothing
//! is published holds nobody; one whose rollout is degraded beyond its limit is not done (G13).

use wavegate_proto::time::Now;

use super::{Candidate, Hold};
use crate::fleet::rollout::Rollout;
use crate::fleet::tally::WaveTally;

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let channel = candidate.fleet.channels.get(&candidate.rollout.id.channel)?;
    channel.after.iter().find_map(|before| {
        let rollout = candidate.fleet.current_rollout(before)?;
        (!is_done(rollout)).then(|| Hold::ChannelNotDone {
            channel: before.clone(),
            rollout_id: rollout.id.clone(),
        })
    })
}

fn is_done(rollout: &Rollout) -> bool {
    let healthy = |wave: &WaveTally| wave.unhealthy <= wave.max_failures(rollout.policy());
    rollout.all_done() && rollout.waves().iter().all(healthy)
}
