//! Holds while the rollout is not going on: halted, superseded, frozen, or the host has left the fleet.

use wavegate_proto::ids::Attempt;
use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let rollout = candidate.rollout;
    if candidate.host.member.is_none() {
        return Some(Hold::NotMember);
    }
    // A terminal rollout whose late hosts exceed the limit halts without changing its state (G16).
    if !rollout.is_open() || rollout.halt.is_some() {
        return Some(Hold::RolloutState(rollout.state));
    }
    // A freeze holds first attempts only (G17).
    let first_attempt = candidate.placement.issued == Attempt(0);
    (rollout.frozen && first_attempt).then_some(Hold::Frozen)
}
