//! Holds while the host is silent, and while it is left out for having been silent.

use wavegate_proto::time::{Mono, Now};

use super::{Candidate, Hold};
use crate::fleet::Fleet;
use crate::fleet::host::Host;
use crate::fleet::placement::SkipReason;

/// For how long a host has been silent, in seconds: from its last heartbeat, but never from before
/// the recovering gate opened (G24).
#[must_use]
pub fn silent_secs(fleet: &Fleet, host: &Host, now: Mono) -> u64 {
    let gate_opened = fleet.recovering.opened_at.unwrap_or(now);
    let heard = host.liveness.last_heartbeat.unwrap_or(host.known_since);
    now.secs_since(heard.max(gate_opened))
}

/// Whether a host has been heard from within `offline_after_secs`.
#[must_use]
pub fn is_online(host: &Host, offline_after_secs: u64, now: Mono) -> bool {
    host.liveness.last_heartbeat.is_some_and(|at| now.secs_since(at) <= offline_after_secs)
}

pub(super) fn check(candidate: &Candidate<'_>, now: Now) -> Option<Hold> {
    // It explains a silence and changes none of it.
    let provider = candidate.host.provider.as_ref().map(|provider| provider.provider_state);
    if candidate.placement.skip == Some(SkipReason::Offline) {
        return Some(Hold::SkippedOffline { provider });
    }
    if candidate.host.liveness.last_heartbeat.is_none() {
        return Some(Hold::NeverSeen { provider });
    }
    let offline_after_secs = candidate.rollout.policy().offline_after_secs;
    (silent_secs(candidate.fleet, candidate.host, now.mono) > offline_after_secs)
        .then_some(Hold::Silent { since: candidate.host.liveness.last_seen_at, provider })
}
