//! Which event of a rollout is due, given what its hosts amount to.
//!
//! Not here: the counting, and what an operator or a newer release does to it.

use wavegate_proto::wire::operator::RolloutState;

use super::RolloutEvent;

/// What the hosts of a rollout amount to, as the caller counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RolloutTally {
    /// Some host has been dispatched, or left pending in another way; or the first wave is done without
    /// that, because everybody in it was left out.
    pub begun: bool,
    /// Every host of the current wave is done.
    pub current_wave_done: bool,
    /// There is a wave after the current one.
    pub later_wave_remains: bool,
    /// Some host waits for a reboot.
    pub deferred_remain: bool,
    /// Every host is converged, skipped, or failed within the limits.
    pub all_done: bool,
    /// Artifact failures exceed a wave's `max_failures`, counted since the last resume (G18).
    pub artifact_failures_exceed: bool,
    /// Failed hosts that have not completed a rollback.
    pub failed_hosts_awaiting_rollback: u64,
    /// Hosts that failed, rolled back or not.
    pub failed_hosts: u64,
    /// The wave after the one that was done has started.
    pub next_wave_started: bool,
}

/// The event that is due in `state`; call again after it until there is none.
///
/// A terminal rollout stays terminal whatever fails later (G16).
#[must_use]
pub fn next_event(state: RolloutState, tally: &RolloutTally) -> Option<RolloutEvent> {
    match state {
        RolloutState::Opening | RolloutState::Active | RolloutState::Converging => {
            next_while_open(state, tally)
        }
        RolloutState::Failed => {
            let rolled_back = tally.failed_hosts > 0 && tally.failed_hosts_awaiting_rollback == 0;
            rolled_back.then_some(RolloutEvent::RollbacksDone)
        }
        RolloutState::Reverted => {
            (tally.failed_hosts_awaiting_rollback > 0).then_some(RolloutEvent::FailuresExceeded)
        }
        RolloutState::Terminal | RolloutState::Superseded | RolloutState::Pruned => None,
    }
}

fn next_while_open(state: RolloutState, tally: &RolloutTally) -> Option<RolloutEvent> {
    if tally.artifact_failures_exceed {
        return Some(RolloutEvent::FailuresExceeded);
    }
    if tally.all_done {
        return Some(RolloutEvent::AllDone);
    }
    let more = tally.later_wave_remains || tally.deferred_remain;
    let (due, event) = match state {
        RolloutState::Opening => (tally.begun, RolloutEvent::FirstDispatch),
        RolloutState::Active => (tally.current_wave_done && more, RolloutEvent::WaveDone),
        RolloutState::Converging => (tally.next_wave_started, RolloutEvent::WaveStarted),
        RolloutState::Terminal
        | RolloutState::Failed
        | RolloutState::Reverted
        | RolloutState::Superseded
        | RolloutState::Pruned => return None,
    };
    due.then_some(event)
}
