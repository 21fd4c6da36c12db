//! What operators want done: `POST /v1/rollouts/{id}/pause` and the like. Each is answered with the new
//! document.
//!
//! Not here: what the verbs do (see [`crate::core::Verb`]).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, PersonName, RolloutId, WaveIndex};
use wavegate_proto::wire::problem::ProblemCode;
use wavegate_proto::wire::verbs::{HoldRequest, MAX_REASON_CHARS, Reasoned, ResumeRequest};

use crate::core::{Answer, Input, Verb};
use crate::server::Context;
use crate::server::arguments::{Arguments, CallingOperator, PathId, PathPair};
use crate::server::body::OptionalJson;
use crate::server::error::ApiError;

/// A verb without a body: some clients drop the bodies of `DELETE`.
#[derive(Debug, Default, Deserialize)]
pub(in crate::server) struct ReasonArgument {
    reason: Option<String>,
}

async fn done(
    context: &Context,
    operator: CallingOperator,
    verb: Verb,
    reason: Option<String>,
) -> Result<Response, ApiError> {
    within_scope(context, &operator.0, &verb)?;
    let reason = required(reason)?;
    let by = operator.0;
    let answer = context.handle.call(|reply| Input::Verb { verb, by, reason, reply }).await?;
    let Answer::Document(document) = answer else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(Json(document).into_response())
}

/// Whether the operator may act on what the verb is about.
fn within_scope(context: &Context, operator: &PersonName, verb: &Verb) -> Result<(), ApiError> {
    match verb {
        Verb::Pause(rollout_id)
        | Verb::Resume { rollout_id, .. }
        | Verb::Abort(rollout_id)
        | Verb::Approve { rollout_id, .. }
        | Verb::Retry { rollout_id, .. }
        | Verb::RetryFailed(rollout_id)
        | Verb::Skip { rollout_id, .. } => {
            context.scopes.require_channel(operator, &rollout_id.channel)
        }
        Verb::Hold { host, .. } | Verb::Release(host) => {
            context.scopes.require_host(operator, host)
        }
        Verb::ClearQuarantine { channel, .. } => context.scopes.require_channel(operator, channel),
    }
}

fn required(reason: Option<String>) -> Result<String, ApiError> {
    let reason = reason.map(|reason| reason.trim().to_owned()).unwrap_or_default();
    let characters = reason.chars().count();
    if (1..=MAX_REASON_CHARS).contains(&characters) {
        return Ok(reason);
    }
    let detail = format!("reason has {characters} characters");
    Err(ApiError::new(ProblemCode::ReasonRequired, detail))
}

/// `POST /v1/rollouts/{id}/pause`.
pub(in crate::server) async fn pause(
    State(context): State<Context>,
    operator: CallingOperator,
    PathId(rollout_id): PathId<RolloutId>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    done(&context, operator, Verb::Pause(rollout_id), body.reason).await
}

/// `POST /v1/rollouts/{id}/resume`.
pub(in crate::server) async fn resume(
    State(context): State<Context>,
    operator: CallingOperator,
    PathId(rollout_id): PathId<RolloutId>,
    OptionalJson(body): OptionalJson<ResumeRequest>,
) -> Result<Response, ApiError> {
    let verb = Verb::Resume { rollout_id, clear_quarantine: body.clear_quarantine };
    done(&context, operator, verb, body.reason).await
}

/// `POST /v1/rollouts/{id}/abort`.
pub(in crate::server) async fn abort(
    State(context): State<Context>,
    operator: CallingOperator,
    PathId(rollout_id): PathId<RolloutId>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    done(&context, operator, Verb::Abort(rollout_id), body.reason).await
}

/// `POST /v1/rollouts/{id}/waves/{n}/approve`.
pub(in crate::server) async fn approve(
    State(context): State<Context>,
    operator: CallingOperator,
    PathPair(rollout_id, wave): PathPair<RolloutId, u32>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    let verb = Verb::Approve { rollout_id, wave: WaveIndex(wave) };
    done(&context, operator, verb, body.reason).await
}

/// `POST /v1/rollouts/{id}/retry`: every failed host.
pub(in crate::server) async fn retry_failed(
    State(context): State<Context>,
    operator: CallingOperator,
    PathId(rollout_id): PathId<RolloutId>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    done(&context, operator, Verb::RetryFailed(rollout_id), body.reason).await
}

/// `POST /v1/rollouts/{id}/hosts/{host}/retry`.
pub(in crate::server) async fn retry(
    State(context): State<Context>,
    operator: CallingOperator,
    PathPair(rollout_id, host): PathPair<RolloutId, HostName>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    done(&context, operator, Verb::Retry { rollout_id, host }, body.reason).await
}

/// `POST /v1/rollouts/{id}/hosts/{host}/skip`.
pub(in crate::server) async fn skip(
    State(context): State<Context>,
    operator: CallingOperator,
    PathPair(rollout_id, host): PathPair<RolloutId, HostName>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    done(&context, operator, Verb::Skip { rollout_id, host }, body.reason).await
}

/// `PUT /v1/hosts/{host}/hold`.
pub(in crate::server) async fn hold(
    State(context): State<Context>,
    operator: CallingOperator,
    PathId(host): PathId<HostName>,
    OptionalJson(body): OptionalJson<HoldRequest>,
) -> Result<Response, ApiError> {
    done(&context, operator, Verb::Hold { host, until: body.until }, body.reason).await
}

/// `DELETE /v1/hosts/{host}/hold`.
pub(in crate::server) async fn release(
    State(context): State<Context>,
    operator: CallingOperator,
    PathId(host): PathId<HostName>,
    Arguments(argument): Arguments<ReasonArgument>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    done(&context, operator, Verb::Release(host), body.reason.or(argument.reason)).await
}

/// `DELETE /v1/quarantines/{channel}/{closure}`.
pub(in crate::server) async fn clear_quarantine(
    State(context): State<Context>,
    operator: CallingOperator,
    PathPair(channel, closure): PathPair<ChannelName, ClosureId>,
    Arguments(argument): Arguments<ReasonArgument>,
    OptionalJson(body): OptionalJson<Reasoned>,
) -> Result<Response, ApiError> {
    let verb = Verb::ClearQuarantine { channel, closure };
    done(&context, operator, verb, body.reason.or(argument.reason)).await
}
