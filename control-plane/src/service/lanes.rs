//! Lanes to the reducer: each sort of input has places of its own in the queue, so that however much comes of
//! one sort, the others get through (O6). A place is taken until the reducer takes the input.
//!
//! Not here: how much one caller may ask (see [`crate::server`]).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::{Input, Query};

/// A sort of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// First certificates, and their renewal.
    Certificates,
    /// Heartbeats.
    Heartbeats,
    /// Events, and what hosts bring back of a history that was lost.
    Events,
    /// Hosts that begin to wait for their dispatch.
    Polls,
    /// Hosts that fetch their part of a rollout, or its content.
    Fetches,
    /// What people ask and do, and what the process asks itself.
    Operators,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 6] = [
        Self::Certificates,
        Self::Heartbeats,
        Self::Events,
        Self::Polls,
        Self::Fetches,
        Self::Operators,
    ];

    /// The lane of an input.
    #[must_use]
    pub fn of(input: &Input) -> Self {
        match input {
            Input::Enroll { .. } | Input::Renew { .. } => Self::Certificates,
            Input::Heartbeat { .. } => Self::Heartbeats,
            Input::Events { .. } | Input::OfferRollout { .. } => Self::Events,
            Input::Poll { .. } | Input::PollEnded { .. } => Self::Polls,
            Input::Query { query: Query::Proof { .. } | Query::HostBlobs(_), .. } => Self::Fetches,
            Input::Committed(_)
            | Input::LogWentBack { .. }
            | Input::CheckRelease { .. }
            | Input::Preview { .. }
            | Input::AdoptRelease { .. }
            | Input::TrustHolds { .. }
            | Input::ReleaseRefused { .. }
            | Input::Verb { .. }
            | Input::SyncProvider { .. }
            | Input::Compact { .. }
            | Input::Query { .. }
            | Input::Load { .. }
            | Input::Tick => Self::Operators,
        }
    }

    /// How many of it may wait.
    #[must_use]
    pub const fn places(self) -> usize {
        match self {
            Self::Certificates | Self::Operators => 256,
            Self::Fetches => 512,
            Self::Heartbeats | Self::Events | Self::Polls => 1024,
        }
    }

    /// Its name in the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificates => "certificates",
            Self::Heartbeats => "heartbeats",
            Self::Events => "events",
            Self::Polls => "polls",
            Self::Fetches => "fetches",
            Self::Operators => "operators",
        }
    }

    /// What is said when there is no place.
    pub(super) const fn refusal(self) -> &'static str {
        match self {
            Self::Certificates => "too many certificates are being asked for",
            Self::Heartbeats => "too many heartbeats wait",
            Self::Events => "too many events wait",
            Self::Polls => "too many hosts begin to wait for their dispatch",
            Self::Fetches => "too many hosts fetch at once",
            Self::Operators => "too many questions wait",
        }
    }

    /// How many of all may wait.
    pub(super) const fn all_places() -> usize {
        let (mut sum, mut next) = (0, 0);
        while next < Self::ALL.len() {
            sum += Self::ALL[next].places();
            next += 1;
        }
        sum
    }
}

/// The places of every lane. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Lanes(Arc<[Arc<Semaphore>; Lane::ALL.len()]>);

impl Default for Lanes {
    fn default() -> Self {
        Self(Arc::new(Lane::ALL.map(|lane| Arc::new(Semaphore::new(lane.places())))))
    }
}

impl Lanes {
    /// A place, if there is one; given back when it is dropped.
    pub(super) fn place(&self, lane: Lane) -> Option<OwnedSemaphorePermit> {
        self.0[lane as usize].clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// O6, G14: a full lane holds up itself and nobody else.
    #[test]
    fn o6_each_lane_has_places_of_its_own() {
        let lanes = Lanes::default();
        for full in Lane::ALL {
            let taken: Vec<_> =
                (0..full.places()).map(|_| lanes.place(full).expect("a place")).collect();
            for lane in Lane::ALL {
                assert_eq!(
                    lanes.place(lane).is_none(),
                    lane == full,
                    "{lane:?} with {full:?} full"
                );
            }
            drop(taken);
            assert!(lanes.place(full).is_some(), "{full:?} is free again");
        }
        assert_eq!(Lane::all_places(), 4096);
    }
}
