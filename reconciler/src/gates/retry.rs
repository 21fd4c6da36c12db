//! Holds a host that failed for reasons other than the closure until its back-off is over.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    let placement = candidate.placement;
    if placement.infra_failures > candidate.rollout.policy().infra_retries {
        return Some(Hold::RetriesUsedUp);
    }
    let retry_at = placement.retry_at?.mono;
    (now.mono < retry_at).then(|| Hold::BackOff { until: now.wall_at(retry_at) })
}
