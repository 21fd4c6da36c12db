//! `kind = "container"`: made of this and running.
//!
//! A container cannot be changed once it is made: what differs is made anew. One of somebody else that is in the
//! way is stopped and put aside under another name, and comes back when ours goes; one that is as wanted is
//! left as it is. Ours are known by their labels.
//! Not here: the engine (see `container_engine`), what containers look like there (see `container_form`).

use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wavegate_proto::artifact::bundle::{ContainerSpec, Holding, PullPolicy, RestartPolicy};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Operation, ResourceKind};

use super::container_engine::ContainerEngine;
use super::container_form::{self, Form};
use super::difference::Difference;
use super::error::ResourceError;
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread};
use super::original::Original;
use super::owned::OwnedEntry;

/// The kind.
#[derive(Debug)]
pub struct Container;

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    /// Whether somebody else's container of this name ran; `None`: there was none.
    running: Option<bool>,
}

/// Where somebody else's container waits for ours to go.
fn aside(name: &str) -> String {
    format!("{name}-before-wavegate")
}

impl Kind for Container {
    type Spec = ContainerSpec;

    async fn observe(host: Arc<Host>, spec: ContainerSpec) -> Result<Observed, ResourceError> {
        let engine = host.engine().await?;
        let seen = engine.look(&spec.name).await?;
        let image = engine.image(&spec.image).await?;
        Ok(compare(&host, &spec, seen.as_ref(), image.as_deref()).observed())
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: ContainerSpec,
    ) -> Result<Operation, ResourceError> {
        let engine = host.engine().await?;
        let seen = engine.look(&spec.name).await?;
        let image = engine.image(&spec.image).await?;
        let compared = compare(&host, &spec, seen.as_ref(), image.as_deref());
        if compared.is_as_wanted() {
            return Ok(Operation::None);
        }
        let (is_made_so, operation) = match &seen {
            Some(_) => (compared.makings.is_empty(), Operation::Update),
            None => (false, Operation::Create),
        };
        if !is_made_so && image.is_none() {
            // What runs goes on until its successor can be made.
            fetch(&engine, &spec).await?;
        }
        claim(&host, &id, &spec, seen.as_ref()).await?;
        match &seen {
            Some(seen) if is_made_so => engine.start(&spec.name, is_paused(seen)).await?,
            Some(seen) => {
                make_way(&engine, &spec.name, seen).await?;
                host.note_change();
                make(&host, &engine, &id, &spec).await?;
            }
            None => make(&host, &engine, &id, &spec).await?,
        }
        host.note_change();
        Ok(operation)
    }

    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        let before: Before = entry.original.read_kept(&entry.path)?;
        let name = entry.path.split_once(':').map_or("", |(_, name)| name);
        let engine = host.engine().await?;
        host.intend_change()?;
        let mut removal = Removal::AlreadyDone;
        let mut theirs = engine.look(name).await?;
        if theirs.as_ref().is_some_and(container_form::is_ours) {
            engine.stop(name).await?;
            engine.remove(name).await?;
            removal = Removal::Removed;
            theirs = None;
        }
        if theirs.is_none() && engine.look(&aside(name)).await?.is_some() {
            engine.rename(&aside(name), name).await?;
            theirs = engine.look(name).await?;
        }
        if let (Some(ran), Some(seen)) = (before.running, &theirs) {
            match (ran, runs(seen)) {
                (true, false) => engine.start(name, is_paused(seen)).await?,
                (false, true) => engine.stop(name).await?,
                (true, true) | (false, false) => {}
            }
            removal = Removal::PutBack;
        }
        host.note_change();
        Ok(removal)
    }
}

/// How a container differs.
struct Compared {
    /// In what it is made of.
    makings: Vec<Difference>,
    /// In whether it runs.
    state: Option<Difference>,
    /// `None`: it is not there.
    detail: Option<Value>,
}

impl Compared {
    fn is_as_wanted(&self) -> bool {
        self.detail.is_some() && self.makings.is_empty() && self.state.is_none()
    }

    fn observed(self) -> Observed {
        match self.detail {
            None => Observed::missing(),
            Some(detail) => {
                let differs = self.makings.into_iter().chain(self.state).collect();
                Observed::compared(differs, detail)
            }
        }
    }
}

fn compare(
    host: &Host,
    spec: &ContainerSpec,
    seen: Option<&ContainerInspectResponse>,
    image: Option<&str>,
) -> Compared {
    let Some(seen) = seen else {
        return Compared { makings: Vec::new(), state: None, detail: None };
    };
    let wanted = Form::wanted(host.root().path(), spec);
    Compared {
        makings: container_form::differences(seen, spec, &wanted, image),
        state: state_difference(spec, seen),
        detail: Some(detail(seen)),
    }
}

/// A container that may end is as wanted when it has ended well.
fn state_difference(spec: &ContainerSpec, seen: &ContainerInspectResponse) -> Option<Difference> {
    let ended_well = seen.state.as_ref().is_some_and(|state| {
        state.status == Some(ContainerStateStatusEnum::EXITED) && state.exit_code == Some(0)
    });
    let may_end = match spec.restart {
        RestartPolicy::No | RestartPolicy::OnFailure => true,
        RestartPolicy::Always => false,
    };
    if runs(seen) || (may_end && ended_well) {
        return None;
    }
    Some(Difference::new("state", status(seen), Some("running".to_owned())))
}

fn status(seen: &ContainerInspectResponse) -> Option<String> {
    seen.state.as_ref()?.status.map(|status| status.to_string())
}

/// One that the engine is just starting again counts as running: whether it is well is for gates.
fn runs(seen: &ContainerInspectResponse) -> bool {
    let status = seen.state.as_ref().and_then(|state| state.status);
    matches!(status, Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::RESTARTING))
}

fn is_paused(seen: &ContainerInspectResponse) -> bool {
    seen.state.as_ref().and_then(|state| state.status) == Some(ContainerStateStatusEnum::PAUSED)
}

fn detail(seen: &ContainerInspectResponse) -> Value {
    let state = seen.state.as_ref();
    let health = state.and_then(|state| state.health.as_ref()).and_then(|h| h.log.as_ref());
    let healthy = health.and_then(|log| log.iter().rfind(|one| one.exit_code == Some(0)));
    json!({
        "id": seen.id,
        "image": seen.config.as_ref().and_then(|config| config.image.clone()),
        "state": status(seen),
        "since": state.and_then(|state| state.started_at.clone()),
        "restarts": seen.restart_count,
        "last_healthy_at": healthy.and_then(|one| one.end.clone()),
    })
}

async fn fetch(engine: &ContainerEngine, spec: &ContainerSpec) -> Result<(), ResourceError> {
    match spec.pull {
        PullPolicy::Missing => engine.pull(&spec.image).await,
        PullPolicy::Never => Err(ResourceError::ImageMissing { image: spec.image.clone() }),
    }
}

async fn claim(
    host: &Arc<Host>,
    id: &ResourceId,
    spec: &ContainerSpec,
    seen: Option<&ContainerInspectResponse>,
) -> Result<(), ResourceError> {
    let theirs = seen.filter(|seen| !container_form::is_ours(seen));
    let before = Before { running: theirs.map(runs) };
    let holding = Holding::named(ResourceKind::Container, &spec.name);
    let (on_host, id) = (Arc::clone(host), id.clone());
    on_thread(move || {
        let keep = |_| Original::kept(&before);
        on_host.owned().claim(&id, holding.kind, &holding.name, keep)?;
        on_host.intend_change()
    })
    .await
}

/// Takes away what has the name: ours for good, somebody else's for now.
async fn make_way(
    engine: &ContainerEngine,
    name: &str,
    seen: &ContainerInspectResponse,
) -> Result<(), ResourceError> {
    engine.stop(name).await?;
    if container_form::is_ours(seen) {
        engine.remove(name).await
    } else {
        engine.rename(name, &aside(name)).await
    }
}

async fn make(
    host: &Host,
    engine: &ContainerEngine,
    id: &ResourceId,
    spec: &ContainerSpec,
) -> Result<(), ResourceError> {
    let form = Form::wanted(host.root().path(), spec);
    engine.create(&spec.name, form.into_body(id, spec)).await?;
    engine.start(&spec.name, false).await
}
