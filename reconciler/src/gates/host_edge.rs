//! Holds while a host that goes before has not converged (or been skipped) in this rollout. A
//! predecessor outside the rollout counts as done; deferred and failed ones hold.

use wavegate_proto::record::HostState;
use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    candidate.placement.entry.after.iter().find_map(|before| {
        let predecessor = candidate.rollout.placements.get(before)?;
        let open = predecessor.skip.is_some()
            || matches!(predecessor.record.state, HostState::Converged | HostState::Skipped);
        (!open).then(|| Hold::Predecessor { host: before.clone() })
    })
}
