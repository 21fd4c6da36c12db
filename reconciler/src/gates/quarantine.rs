//! Holds while the closure is quarantined on the channel.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let key = (candidate.rollout.id.channel.clone(), candidate.placement.entry.closure.clone());
    candidate.fleet.quarantines.get(&key).map(|quarantine| Hold::Quarantined {
        channel: key.0,
        closure: key.1,
        since: quarantine.document.since,
        host: quarantine.document.host.clone(),
    })
}
