//! Holds while as many hosts of the rollout were dispatched within a minute as its policy allows, those
//! of the same plan included. Dispatches under which nothing changes do not count. A start of the process
//! forgets those before it.

use wavegate_proto::time::{Mono, Now};

use super::{Candidate, Hold};
use crate::fleet::rollout::Rollout;

/// The minute of `max_dispatch_per_minute`, in seconds.
const MINUTE_SECS: u64 = 60;

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    let rollout = candidate.rollout;
    let limit = u64::from(rollout.policy().max_dispatch_per_minute?);
    let recent = &rollout.recent_dispatches;
    let first = recent.partition_point(|at| now.mono >= at.plus_secs(MINUTE_SECS));
    let used = u64::try_from(recent.len() - first).unwrap_or(u64::MAX);
    let planned = candidate.planned.dispatches(&rollout.id);
    if used.saturating_add(planned) < limit {
        return None;
    }
    let oldest = recent.get(first).copied().unwrap_or(now.mono);
    Some(Hold::RampUsedUp { limit, until: now.wall_at(oldest.plus_secs(MINUTE_SECS)) })
}

impl Rollout {
    /// Remembers a dispatch for as long as the ramp looks back; nothing where there is no ramp.
    pub fn note_dispatch(&mut self, at: Mono) {
        if self.policy().max_dispatch_per_minute.is_none() {
            return;
        }
        while let Some(oldest) = self.recent_dispatches.front()
            && at >= oldest.plus_secs(MINUTE_SECS)
        {
            self.recent_dispatches.pop_front();
        }
        self.recent_dispatches.push_back(at);
    }
}
