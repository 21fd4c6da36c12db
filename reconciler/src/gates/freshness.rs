//! Holds while the signed manifest is older than the channel's freshness window.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    let channel = candidate.fleet.channels.get(&candidate.rollout.id.channel)?;
    let fresh_until = channel.fresh_until();
    (now.wall > fresh_until).then_some(Hold::Stale { since: fresh_until })
}
