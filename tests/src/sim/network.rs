//! Messages between hosts and the control plane: delayed, lost, repeated, reordered.

use std::fmt;

use wavegate_control_plane::core::{Answer, Input, Query, Token};
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::ids::{HostName, RolloutId, Seq};
use wavegate_proto::wire::agent::{EventsRequest, Heartbeat, RolloutProof};
use wavegate_state_machine::agent::PostOutcome;

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

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heartbeat(_) => f.write_str("heartbeat"),
            Self::Poll => f.write_str("poll"),
            Self::Events(request) => {
                let kinds = request.events.iter().map(|entry| entry.event.kind());
                let kinds: Vec<_> = kinds.collect();
                let first = request.events.first().map_or(Seq(0), |entry| entry.seq);
                let replay = if request.replay { " again" } else { "" };
                write!(f, "{} from {first}{replay}: {}", request.rollout_id, kinds.join(", "))
            }
            Self::Proof { rollout_id, .. } => write!(f, "the proof of {rollout_id}"),
            Self::Offer { rollout_id, .. } => write!(f, "offers {rollout_id}"),
        }
    }
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

/// What an agent makes of the answer to its events; `None`: there was none.
pub fn post_outcome(answer: Option<Answer>) -> PostOutcome {
    match answer {
        Some(Answer::Events(answer)) => PostOutcome::Accepted { last_seq: answer.last_seq },
        Some(Answer::Problem(problem)) => {
            PostOutcome::of_problem(&problem).unwrap_or(PostOutcome::Unavailable)
        }
        _ => PostOutcome::Unavailable,
    }
}
