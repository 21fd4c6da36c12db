//! Messages between hosts and the control plane: delayed, lost, repeated, reordered.

use wavegate_control_plane::core::{Answer, Input, Query, Token};
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::ids::{HostName, RolloutId};
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat, RolloutProof};

use crate::release_kit::Kit;

/// What a host asks the control plane.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Heartbeat(Box<Heartbeat>),
    Poll,
    Events(EventsRequest),
    Proof { rollout_id: RolloutId, purpose: Purpose },
    Offer { rollout_id: RolloutId, proof: Box<RolloutProof> },
}

/// What a proof is fetched for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    Dispatch,
    Bootstrap,
}

impl Request {
    /// For how long the host waits for the answer, in milliseconds.
    pub(super) fn patience_millis(&self) -> u64 {
        match self {
            Self::Poll => 65_000,
            Self::Heartbeat(_) | Self::Events(_) | Self::Proof { .. } | Self::Offer { .. } => {
                15_000
            }
        }
    }

    /// The core's input; `None` when the server itself refuses it.
    pub(super) fn input(&self, kit: &Kit, host: &HostName, reply: Token) -> Option<Input> {
        let host = host.clone();
        Some(match self {
            Self::Heartbeat(heartbeat) => {
                let heartbeat = heartbeat.clone();
                Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply }
            }
            Self::Poll => Input::Poll { host, reply },
            Self::Events(request) => {
                Input::Events { host, request: Box::new(request.clone()), reply }
            }
            Self::Proof { rollout_id, .. } => {
                let rollout_id = rollout_id.clone();
                Input::Query { query: Query::Proof { host, rollout_id }, reply }
            }
            Self::Offer { proof, .. } => {
                let context = kit.context(wavegate_proto::time::Timestamp::from_unix_millis(0));
                let plan = verify_rollout_proof(proof, &host, &context).ok()?;
                Input::OfferRollout { host, plan: Box::new(plan), proof: proof.clone(), reply }
            }
        })
    }
}

/// An answer on its way, or none in time.
#[derive(Debug)]
pub(super) enum Response {
    Answer(Box<Answer>),
    Lost,
}
