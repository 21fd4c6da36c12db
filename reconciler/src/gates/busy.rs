//! Holds while the host is activating, soaking or rolling back under another rollout (G9).

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let others = candidate.fleet.records(candidate.name);
    others
        .filter(|(rollout, _)| rollout.id != candidate.rollout.id)
        .find(|(_, placement)| placement.is_in_flight() && !placement.lost)
        .map(|(rollout, placement)| Hold::Busy {
            rollout_id: rollout.id.clone(),
            since: placement.record.state_since,
        })
}
