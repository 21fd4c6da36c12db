//! The rollout machine: where one ref going out on one channel is, as a whole.
//!
//! Not here: the counting that decides which event is due (the caller keeps a [`RolloutTally`]), and the
//! marks paused, aborted, frozen, which stand beside the state.
//!
//! Every transition; a test compares this list with the code:
//!
//! ```text
//! opening -> active: first_dispatch
//! opening -> terminal: all_done
//! opening -> failed: failures_exceeded aborted
//! opening -> superseded: superseded
//! active -> converging: wave_done
//! active -> terminal: all_done
//! active -> failed: failures_exceeded aborted
//! active -> superseded: superseded
//! converging -> active: wave_started
//! converging -> terminal: all_done
//! converging -> failed: failures_exceeded aborted
//! converging -> superseded: superseded
//! terminal -> superseded: superseded
//! terminal -> pruned: pruned
//! failed -> active: resumed
//! failed -> failed: aborted
//! failed -> reverted: rollbacks_done
//! failed -> superseded: superseded
//! failed -> pruned: pruned
//! reverted -> active: resumed
//! reverted -> failed: failures_exceeded
//! reverted -> reverted: aborted
//! reverted -> superseded: superseded
//! reverted -> pruned: pruned
//! superseded -> pruned: pruned
//! ```

mod decide;

use wavegate_proto::wire::operator::RolloutState;

pub use decide::{RolloutTally, next_event};

/// What happened to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolloutEvent {
    /// The first host was dispatched.
    FirstDispatch,
    /// Every host of the current wave is done, and more is to come.
    WaveDone,
    /// The next wave has started.
    WaveStarted,
    /// Every host is done.
    AllDone,
    /// More artifact failures than the policy tolerates.
    FailuresExceeded,
    /// Every failed host is back on its prior closure.
    RollbacksDone,
    /// An operator lets it go on.
    Resumed,
    /// An operator ends it for good.
    Aborted,
    /// A newer ref has opened on the channel.
    Superseded,
    /// Removed by retention.
    Pruned,
}

impl RolloutEvent {
    /// Every event.
    pub const ALL: [Self; 10] = [
        Self::FirstDispatch,
        Self::WaveDone,
        Self::WaveStarted,
        Self::AllDone,
        Self::FailuresExceeded,
        Self::RollbacksDone,
        Self::Resumed,
        Self::Aborted,
        Self::Superseded,
        Self::Pruned,
    ];

    /// The event as logs and the diagram name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstDispatch => "first_dispatch",
            Self::WaveDone => "wave_done",
            Self::WaveStarted => "wave_started",
            Self::AllDone => "all_done",
            Self::FailuresExceeded => "failures_exceeded",
            Self::RollbacksDone => "rollbacks_done",
            Self::Resumed => "resumed",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
            Self::Pruned => "pruned",
        }
    }
}

impl std::fmt::Display for RolloutEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why an event was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RolloutRefusal {
    /// It has ended: terminal, superseded or pruned.
    #[error("{event} is not allowed: the rollout is {state}")]
    Finished {
        /// Where it is.
        state: RolloutState,
        /// What was to happen.
        event: RolloutEvent,
    },
    /// The state does not allow the event.
    #[error("{event} is not allowed in state {state}")]
    WrongState {
        /// Where it is.
        state: RolloutState,
        /// What was to happen.
        event: RolloutEvent,
    },
}

impl RolloutRefusal {
    /// The reason as a stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Finished { .. } => "rollout-finished",
            Self::WrongState { .. } => "wrong-state",
        }
    }
}

/// Where a rollout in `state` is after `event`.
///
/// # Errors
/// When the state does not allow the event.
pub fn step(state: RolloutState, event: RolloutEvent) -> Result<RolloutState, RolloutRefusal> {
    use RolloutEvent as E;
    use RolloutState as S;
    let next = match (state, event) {
        (S::Opening, E::FirstDispatch) | (S::Converging, E::WaveStarted) => S::Active,
        (S::Active, E::WaveDone) => S::Converging,
        (S::Opening | S::Active | S::Converging, E::AllDone) => S::Terminal,
        (S::Opening | S::Active | S::Converging, E::FailuresExceeded | E::Aborted) => S::Failed,
        (S::Failed, E::Aborted) | (S::Reverted, E::FailuresExceeded) => S::Failed,
        (S::Failed, E::RollbacksDone) | (S::Reverted, E::Aborted) => S::Reverted,
        (S::Failed | S::Reverted, E::Resumed) => S::Active,
        (
            S::Opening | S::Active | S::Converging | S::Terminal | S::Failed | S::Reverted,
            E::Superseded,
        ) => S::Superseded,
        (S::Terminal | S::Failed | S::Reverted | S::Superseded, E::Pruned) => S::Pruned,
        (S::Terminal | S::Superseded | S::Pruned, _) => {
            return Err(RolloutRefusal::Finished { state, event });
        }
        (S::Opening | S::Active | S::Converging | S::Failed | S::Reverted, _) => {
            return Err(RolloutRefusal::WrongState { state, event });
        }
    };
    Ok(next)
}
