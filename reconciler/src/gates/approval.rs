//! Holds while the host's wave needs a person's approval that has not been given. Approving a wave
//! approves no other.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let (rollout, own) = (candidate.rollout, candidate.placement.entry.wave);
    let wave = rollout.policy().waves.get(usize::try_from(own.0).ok()?)?;
    let missing = wave.requires_approval && !rollout.approvals.contains_key(&own);
    missing.then_some(Hold::NotApproved { wave: own })
}
