//! Doing what was asked, whoever holds the host: the running agent, or the command itself.
//!
//! Not here: making sure that nobody else changes the host meanwhile (the callers).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Actor, ActorSource, Drift};

use super::{Answer, Request};
use crate::activation::Activator;
use crate::resources::drift::Finding;

/// Answers one request. `bundle`: what runs now, when something does.
pub(crate) async fn answer(
    activator: &Activator,
    bundle: Option<Bundle>,
    request: Request,
) -> Answer {
    match request {
        Request::Reset { id, identity } => reset(activator, bundle.as_ref(), &id, identity),
        Request::Forget { id } => forget(activator, bundle.as_ref(), &id),
        Request::Drift => match bundle {
            None => nothing_runs(),
            Some(bundle) => Answer::Done { document: drift(&activator.observe_all(&bundle).await) },
        },
        Request::Reconcile { only, dry_run, identity } => {
            let Some(bundle) = bundle else { return nothing_runs() };
            if let Some(id) = only.as_ref().filter(|id| !names(&bundle).any(|name| name == *id)) {
                return unknown(id, names(&bundle));
            }
            if dry_run {
                plan(activator, &bundle, only.as_ref()).await
            } else {
                reconcile(activator, bundle, only, identity).await
            }
        }
    }
}

fn nothing_runs() -> Answer {
    Answer::refused("find what to compare with: no bundle runs on this host")
}

fn names(bundle: &Bundle) -> impl Iterator<Item = &ResourceId> {
    bundle.resources.iter().map(|resource| &resource.id)
}

fn unknown<'a>(id: &ResourceId, known: impl Iterator<Item = &'a ResourceId>) -> Answer {
    let near = |name: &&ResourceId| strsim::jaro_winkler(name.as_str(), id.as_str()) > 0.8;
    let near: Vec<String> = known.filter(near).map(ToString::to_string).collect();
    let hint = match near.as_slice() {
        [] => String::new(),
        names => format!(", did you mean {}?", names.join(" or ")),
    };
    Answer::Refused { usage: true, message: format!("find resource {id:?}: there is none{hint}") }
}

fn drift(findings: &BTreeMap<ResourceId, Finding>) -> Value {
    let item = |(id, finding): (&ResourceId, &Finding)| match finding {
        Finding::Seen { kind, drift, detail, differs } => json!({
            "id": id, "kind": kind, "drift": drift, "detail": detail, "differs": differs,
        }),
        Finding::Unobservable { error } => json!({ "id": id, "drift": null, "error": error }),
    };
    Value::Array(findings.iter().map(item).collect())
}

/// Whether a document of [`Request::Drift`] shows any.
pub(super) fn has_drift(document: &Value) -> bool {
    let ok = serde_json::to_value(Drift::Ok).unwrap_or_default();
    document.as_array().is_some_and(|items| items.iter().any(|item| item["drift"] != ok))
}

async fn plan(activator: &Activator, bundle: &Bundle, only: Option<&ResourceId>) -> Answer {
    match activator.plan(bundle, only).await {
        Ok(planned) => Answer::Done { document: json!(planned) },
        Err(error) => Answer::refused(format!("plan: {error}")),
    }
}

async fn reconcile(
    activator: &Activator,
    bundle: Bundle,
    only: Option<ResourceId>,
    identity: String,
) -> Answer {
    let planned = match activator.plan(&bundle, only.as_ref()).await {
        Ok(planned) => planned,
        Err(error) => return Answer::refused(format!("plan: {error}")),
    };
    let actor = Actor { identity, source: ActorSource::Reconcile };
    let ended = activator.reconcile(bundle, only, actor).await;
    let statuses = activator.statuses().snapshot();
    let steps: Vec<Value> = planned
        .into_iter()
        .map(|step| {
            let mut item = json!(step);
            if let Some(tracked) = statuses.get(&step.id) {
                let status = &tracked.status;
                item["status"] = json!(status.status);
                item["operation"] = json!(status.operation);
                item["blocked_by"] = json!(status.blocker);
                item["error"] = json!(status.error);
            }
            item
        })
        .collect();
    let failure =
        ended.err().map(|failure| json!({ "reason": failure.reason, "detail": failure.detail }));
    Answer::Done { document: json!({ "steps": steps, "failure": failure }) }
}

fn reset(
    activator: &Activator,
    bundle: Option<&Bundle>,
    id: &ResourceId,
    identity: String,
) -> Answer {
    let known = activator.statuses().snapshot();
    let is_named = bundle.is_some_and(|bundle| names(bundle).any(|name| name == id));
    match activator.reset(id, Actor { identity, source: ActorSource::Operator }) {
        // A job that was cut off may be all that is left of a resource.
        Ok(0) if !known.contains_key(id) && !is_named => unknown(id, known.keys()),
        Ok(jobs) => Answer::Done { document: json!({ "id": id, "jobs_forgotten": jobs }) },
        Err(error) => Answer::refused(format!("reset {id}: {error}")),
    }
}

fn forget(activator: &Activator, bundle: Option<&Bundle>, id: &ResourceId) -> Answer {
    let known = activator.statuses().snapshot();
    if !known.contains_key(id) {
        return unknown(id, known.keys());
    }
    if bundle.is_some_and(|bundle| names(bundle).any(|name| name == id)) {
        return Answer::refused(format!("forget {id}: the bundle that runs names it"));
    }
    if activator.owns_for(id) {
        return Answer::refused(format!("forget {id}: something of it is still on this host"));
    }
    activator.statuses().forget(id);
    Answer::Done { document: json!({ "id": id }) }
}
