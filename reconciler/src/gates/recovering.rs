//! Holds after every start until the hosts whose state may have moved on have reported and replayed;
//! and holds a host that has not for as long as it has not (G25).

use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    let recovering = &candidate.fleet.recovering;
    if recovering.holds(now.mono) {
        return Some(Hold::Recovering { unreported: recovering.unreported.len() });
    }
    recovering.unreported.contains(candidate.name).then_some(Hold::Unreported)
}
