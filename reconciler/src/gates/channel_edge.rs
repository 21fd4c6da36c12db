//! Holds while a host of an earlier channel's current rollout is not done. A channel on which nothing
//! is published holds nobody; one whose rollout is not opened yet holds, and one that is degraded beyond
//! its limit is not done (G13). A terminal rollout stays done while it serves late hosts (E15, G16).

use wavegate_proto::time::Now;
use wavegate_proto::wire::operator::RolloutState;

use super::{Candidate, Hold};
use crate::fleet::rollout::Rollout;
use crate::fleet::tally::WaveTally;

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let channel = candidate.fleet.channels.get(&candidate.rollout.id.channel)?;
    channel.after.iter().find_map(|before| {
        let rollout_id = &candidate.fleet.channels.get(before)?.rollout_id;
        let done = candidate.fleet.rollouts.get(rollout_id).is_some_and(is_done);
        (!done).then(|| Hold::ChannelNotDone {
            channel: before.clone(),
            rollout_id: rollout_id.clone(),
        })
    })
}

fn is_done(rollout: &Rollout) -> bool {
    let healthy = |wave: &WaveTally| wave.unhealthy <= wave.max_failures(rollout.policy());
    let finished = rollout.state == RolloutState::Terminal || rollout.all_done();
    finished && rollout.waves().iter().all(healthy)
}
