//! Holds while an operator holds the host, and while two machines speak with its certificate. A hold that has
//! expired holds nobody.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    if let Some(cloned) = candidate.host.liveness.boots.cloned() {
        return Some(Hold::Cloned { since: cloned.since, boots: cloned.boots });
    }
    let hold = candidate.host.hold.as_ref().filter(|hold| hold.stands_at(now.wall))?;
    Some(Hold::Held {
        actor: hold.actor.clone(),
        reason: hold.reason.clone(),
        since: hold.since,
        until: hold.until,
    })
}
