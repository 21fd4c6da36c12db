//! Holds while the signed manifest is older than the channel's freshness window, while the trust file has been
//! rotated past it, and while a host has shown a
//! newer one: an older state folder was put back, perhaps. A bare number holds nothing (G10).

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    if let Some(untrusted) = &candidate.fleet.untrusted {
        return Some(Hold::Untrusted {
            version: untrusted.version,
            code: untrusted.code,
            since: untrusted.since,
        });
    }
    if let Some(newer) = &candidate.fleet.newer_release {
        return Some(Hold::ReleaseBehind {
            serial: newer.serial,
            host: newer.host.clone(),
            since: newer.since,
        });
    }
    let channel = candidate.fleet.channels.get(&candidate.rollout.id.channel)?;
    let fresh_until = channel.fresh_until();
    (now.wall > fresh_until).then_some(Hold::Stale { since: fresh_until })
}
