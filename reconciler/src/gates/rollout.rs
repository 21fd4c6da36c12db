//! Holds while the rollout is not going on: paused, aborted, halted, superseded, frozen; or the host has
//! left the fleet, or a person has left it out.

use wavegate_proto::ids::Attempt;
use wavegate_proto::time::Now;
use wavegate_proto::wire::operator::RolloutMark;

use super::{Candidate, Hold};
use crate::fleet::placement::SkipReason;

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let rollout = candidate.rollout;
    if candidate.host.member.is_none() {
        return Some(Hold::NotMember);
    }
    match candidate.placement.skip {
        Some(SkipReason::Operator) => {
            return Some(Hold::Skipped { by: candidate.placement.skip_by.as_deref().cloned() });
        }
        Some(SkipReason::Removed | SkipReason::Revoked) => return Some(Hold::Revoked),
        Some(SkipReason::Offline) | None => {}
    }
    if let Some(mark) = &rollout.mark {
        return Some(match mark.mark {
            RolloutMark::Paused => Hold::Paused { by: mark.by.clone() },
            RolloutMark::Aborted => Hold::Aborted { by: mark.by.clone() },
        });
    }
    // A terminal rollout whose late hosts exceed the limit halts without changing its state (G16).
    if !rollout.is_open() || rollout.halt.is_some() {
        return Some(Hold::RolloutState(rollout.state));
    }
    // A freeze holds first attempts only (G17).
    let first_attempt = candidate.placement.issued == Attempt(0);
    (rollout.frozen && first_attempt).then_some(Hold::Frozen)
}
