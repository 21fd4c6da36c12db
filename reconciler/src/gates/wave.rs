//! Holds while the host's wave is after the current one. A host in no wave is never dispatched.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let (own, current) = (candidate.placement.entry.wave, candidate.rollout.current_wave);
    let exists = candidate.rollout.wave(own).is_some();
    (own > current || !exists).then_some(Hold::EarlierWave { current, own })
}
