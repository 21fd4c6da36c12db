//! Holds while an operator holds the host. A hold that has expired holds nobody.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    let hold = candidate.host.hold.as_ref().filter(|hold| hold.stands_at(now.wall))?;
    Some(Hold::Held {
        actor: hold.actor.clone(),
        reason: hold.reason.clone(),
        since: hold.since,
        until: hold.until,
    })
}
