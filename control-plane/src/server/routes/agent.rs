//! `/v1/agent/…`: what agents say and ask. The host is the one of the certificate, whatever a body or
//! path says (S7).
//!
//! Not here: closures and assets (see [`super::assets`]).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use wavegate_proto::artifact::proof::verify_rollout_proof;
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext};
use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::wire::agent::{
    EventsRequest, Heartbeat, MAX_EVENTS_PER_REQUEST, MAX_POLL_WAIT_SECS, MAX_REJECTED,
    RolloutProof,
};
use wavegate_proto::wire::problem::ProblemCode;

use crate::core::{Answer, Input, Query};
use crate::server::Context;
use crate::server::arguments::{Arguments, CallingHost, RolloutPath, require_own_host};
use crate::server::body;
use crate::server::error::ApiError;
use crate::server::gate::check_identity;
use crate::service::metrics;

/// The most bytes of one event (G14).
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// `POST /v1/agent/heartbeat`.
pub(in crate::server) async fn heartbeat(
    State(context): State<Context>,
    caller: CallingHost,
    body::Json(heartbeat): body::Json<Heartbeat>,
) -> Result<Response, ApiError> {
    if heartbeat.rejected.len() > MAX_REJECTED {
        let detail = format!("more than {MAX_REJECTED} rejected closures");
        return Err(ApiError::new(ProblemCode::TooLarge, detail));
    }
    metrics::count_heartbeat();
    context.clock.compare(heartbeat.at);
    let heartbeat = Box::new(heartbeat);
    let cert_expires_at = Some(caller.identity.not_after);
    let host = caller.name;
    let answer = context
        .handle
        .call(|reply| Input::Heartbeat { host, heartbeat, cert_expires_at, reply })
        .await?;
    let Answer::Heartbeat(answer) = answer else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(Json(*answer).into_response())
}

/// How long a poll waits.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct PollArguments {
    #[serde(default)]
    wait_secs: u64,
}

/// `GET /v1/agent/dispatch`: 200 with a dispatch, or 204 when there is none in time.
pub(in crate::server) async fn dispatch(
    State(context): State<Context>,
    caller: CallingHost,
    Arguments(arguments): Arguments<PollArguments>,
) -> Result<Response, ApiError> {
    let wait = Duration::from_secs(arguments.wait_secs.min(MAX_POLL_WAIT_SECS));
    let ends = async {
        tokio::select! {
            () = context.stopping.cancelled() => {}
            () = context.revocations.until_revoked(&caller.identity) => {}
        }
    };
    let answer = context.handle.poll(caller.name, wait, ends).await?;
    // Whatever there is to do now, it is not for this certificate any more.
    check_identity(&context, &caller.identity)?;
    let Answer::Dispatch(dispatch) = answer else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(match dispatch {
        Some(dispatch) => Json(*dispatch).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// `POST /v1/agent/events`: 200 means that they are committed (D1).
pub(in crate::server) async fn events(
    State(context): State<Context>,
    caller: CallingHost,
    body::Weighed(request, bytes): body::Weighed<EventsRequest>,
) -> Result<Response, ApiError> {
    context.disk.require_room()?;
    if request.events.len() > MAX_EVENTS_PER_REQUEST {
        let detail = format!("more than {MAX_EVENTS_PER_REQUEST} events");
        return Err(ApiError::new(ProblemCode::TooLarge, detail));
    }
    if bytes > MAX_EVENT_BYTES {
        request.events.iter().try_for_each(require_small)?;
    }
    context.limiter.events(&caller.name, request.events.len(), bytes)?;
    for entry in &request.events {
        if let Event::JournalOpened { snapshot } = &entry.event {
            require_own_host(snapshot.host.as_str(), &caller.name)?;
        }
    }
    let (host, request) = (caller.name, Box::new(request));
    let answer = context.handle.call(|reply| Input::Events { host, request, reply }).await?;
    let Answer::Events(answer) = answer else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(Json(answer).into_response())
}

/// An event becomes a row of the log: it may not be larger than one may be (G14).
fn require_small(entry: &JournalEntry) -> Result<(), ApiError> {
    if serde_json::to_vec(entry).is_ok_and(|json| json.len() <= MAX_EVENT_BYTES) {
        return Ok(());
    }
    let detail = format!("event {} has more than {MAX_EVENT_BYTES} bytes", entry.seq);
    Err(ApiError::new(ProblemCode::RateLimited, detail))
}

/// `POST /v1/agent/rollouts`: a header that the control plane has lost. Signatures, fleet, proof and
/// own host are verified; freshness and serial are not, since it opens as history.
pub(in crate::server) async fn offer(
    State(context): State<Context>,
    caller: CallingHost,
    body::Json(proof): body::Json<RolloutProof>,
) -> Result<Response, ApiError> {
    let named = proof.entry.get("host").and_then(serde_json::Value::as_str);
    require_own_host(named.unwrap_or_default(), &caller.name)?;
    let (now, floor, freshness) =
        (context.clock.wall(), SerialFloor::default(), Freshness::Ignored);
    let plan = context.trust.chain().verify_history(|trust| {
        let rules = VerifyContext { trust, now, floor, freshness };
        verify_rollout_proof(&proof, &caller.name, &rules)
    });
    let plan = Box::new(plan?);
    let (host, proof) = (caller.name, Box::new(proof));
    let answer =
        context.handle.call(|reply| Input::OfferRollout { host, plan, proof, reply }).await?;
    let Answer::Offered = answer else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v1/agent/rollouts/{id}`: the host's own part of a rollout.
pub(in crate::server) async fn proof(
    State(context): State<Context>,
    caller: CallingHost,
    rollout: RolloutPath,
) -> Result<Response, ApiError> {
    let query = Query::Proof { host: caller.name, rollout_id: rollout.0 };
    let Answer::Proof(proof) = context.handle.query(query).await? else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(Json(*proof).into_response())
}
