//! `kind = "network-config"`: files of systemd-networkd, taken back when they cut the host off.
//!
//! New content is tried: only while the control plane is in reach, and it is taken back when nobody has been
//! reached with it within the time. Content that was proven before is written without a trial, so that
//! going back needs nobody.
//! Not here: what a trial remembers (see `network_trial`), networkd (see `networkd`), writing files (see `file`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use wavegate_proto::artifact::bundle::{
    Bundle, Holding, NetworkConfigSpec, Resource, ResourceSpec,
};
use wavegate_proto::ids::{ResourceId, Sha256Hash};
use wavegate_proto::wire::resource::{Drift, Operation, ResourceKind};

use super::difference::Difference;
use super::error::ResourceError;
use super::file;
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread};
use super::network_trial::{NetworkRecord, Replaced, Trial};
use super::networkd;
use super::original::{self, Original};
use super::owned::OwnedEntry;

/// How often the control plane is tried, while a change is on trial.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The kind.
#[derive(Debug)]
pub struct NetworkConfig;

/// The files of a bundle, and what of the same folder belongs to other resources of it.
#[derive(Debug, Clone)]
pub struct NetworkOrder {
    spec: NetworkConfigSpec,
    others: BTreeSet<String>,
}

impl NetworkOrder {
    /// Those of a bundle.
    #[must_use]
    pub fn of(bundle: &Bundle, spec: &NetworkConfigSpec) -> Self {
        let is_other = |r: &&Resource| !matches!(r.spec, ResourceSpec::NetworkConfig(_));
        let others = bundle.resources.iter().filter(is_other);
        let held = others.flat_map(|resource| resource.spec.holdings());
        Self { spec: spec.clone(), others: held.map(|holding| holding.name).collect() }
    }

    fn content(&self) -> Sha256Hash {
        self.spec.content()
    }
}

/// What was there before: each file is kept by itself.
#[derive(Debug, Serialize, Deserialize)]
struct Before {}

impl Kind for NetworkConfig {
    type Spec = NetworkOrder;

    async fn observe(host: Arc<Host>, order: NetworkOrder) -> Result<Observed, ResourceError> {
        on_thread(move || observe(&host, &order)).await
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        order: NetworkOrder,
    ) -> Result<Operation, ResourceError> {
        // Whoever asked may run out of time; a trial that has begun ends as it should.
        let work = tokio::spawn(reconcile(host, id, order));
        work.await.unwrap_or_else(|stopped| Err(ResourceError::Worker(stopped.to_string())))
    }

    /// Its files have been put back before: they are younger on the list.
    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        let Before {} = entry.original.read_kept(&entry.path)?;
        NetworkRecord::end(&host, None)?;
        host.intend_change()?;
        match networkd::reload(&host.systemd().await?).await {
            // It does not run, so it has nothing of ours either.
            Err(ResourceError::UnitRefused { why, .. }) => {
                tracing::warn!(why, "networkd did not read its files again");
            }
            other => other?,
        }
        host.note_change();
        Ok(Removal::PutBack)
    }
}

async fn reconcile(
    host: Arc<Host>,
    id: ResourceId,
    order: NetworkOrder,
) -> Result<Operation, ResourceError> {
    let content = order.content();
    let record = NetworkRecord::read(&host)?;
    match &record.trial {
        Some(trial) if trial.content == content.to_string() => {
            // Cut off in the middle: made once more, whatever of it was there, and tried to the end.
            write(&host, &id, &order).await?;
            return judge(&host, &id, &order, trial).await.map(|()| Operation::Update);
        }
        Some(trial) => take_back(&host, &id, trial).await?,
        None => {}
    }
    let (on_host, own) = (Arc::clone(&host), order.clone());
    let observed = on_thread(move || observe(&on_host, &own)).await?;
    let operation = match observed.drift {
        Drift::Ok => return Ok(Operation::None),
        Drift::Missing => Operation::Create,
        Drift::Changed | Drift::Orphaned => Operation::Update,
    };
    if record.is_proven(&content) {
        write(&host, &id, &order).await?;
        return Ok(operation);
    }
    if !host.reaches_control_plane().await {
        return Err(ResourceError::ControlPlaneAway);
    }
    let trial = Trial { content: content.to_string(), replaced: replaced(&host, &order)? };
    NetworkRecord::begin(&host, trial.clone())?;
    write(&host, &id, &order).await?;
    judge(&host, &id, &order, &trial).await?;
    Ok(operation)
}

/// Waits until the control plane is reached with the change, or takes it back.
async fn judge(
    host: &Arc<Host>,
    id: &ResourceId,
    order: &NetworkOrder,
    trial: &Trial,
) -> Result<(), ResourceError> {
    let after_secs = order.spec.revert_after_secs;
    if is_reached_within(host, after_secs).await {
        return NetworkRecord::end(host, Some(&order.content()));
    }
    tracing::error!(after_secs, "cut off by a change of the network: it is taken back");
    take_back(host, id, trial).await?;
    // Out of reach without the change as well: then it is nobody's closure that is bad (E18).
    if is_reached_within(host, after_secs).await {
        Err(ResourceError::NetworkReverted { after_secs })
    } else {
        Err(ResourceError::ControlPlaneAway)
    }
}

async fn is_reached_within(host: &Host, secs: u64) -> bool {
    let deadline = Instant::now() + Duration::from_secs(secs);
    loop {
        let tried = tokio::time::timeout_at(deadline, host.reaches_control_plane()).await;
        if tried == Ok(true) {
            return true;
        }
        if Instant::now() + TRY_EVERY >= deadline {
            return false;
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Writes the files and lets networkd read them.
async fn write(
    host: &Arc<Host>,
    id: &ResourceId,
    order: &NetworkOrder,
) -> Result<(), ResourceError> {
    let (on_host, id, own) = (Arc::clone(host), id.clone(), order.clone());
    on_thread(move || write_files(&on_host, &id, &own)).await?;
    host.intend_change()?;
    networkd::reload(&host.systemd().await?).await?;
    host.note_change();
    Ok(())
}

fn write_files(host: &Host, id: &ResourceId, order: &NetworkOrder) -> Result<(), ResourceError> {
    let holding = Holding::named(ResourceKind::NetworkConfig, "systemd-networkd");
    host.owned().claim(id, holding.kind, &holding.name, |_| Original::kept(&Before {}))?;
    for path in surplus(host, order) {
        put_back(host, &path)?;
    }
    for (path, content) in order.spec.paths() {
        file::reconcile(host, id, &file::of_text(path, content))?;
    }
    Ok(())
}

/// Puts everything back to what it was before the trial.
async fn take_back(host: &Arc<Host>, id: &ResourceId, trial: &Trial) -> Result<(), ResourceError> {
    let (on_host, id, own) = (Arc::clone(host), id.clone(), trial.clone());
    on_thread(move || {
        for (path, replaced) in &own.replaced {
            match replaced {
                Replaced::Theirs => put_back(&on_host, path)?,
                Replaced::Ours(content) => {
                    file::reconcile(&on_host, &id, &file::of_text(path.clone(), content))?;
                }
            }
        }
        Ok(())
    })
    .await?;
    networkd::reload(&host.systemd().await?).await?;
    NetworkRecord::end(host, None)
}

/// Puts back what was at a path before us; nothing happens where nothing is ours.
fn put_back(host: &Host, path: &str) -> Result<(), ResourceError> {
    for entry in host.owned().entries().iter().filter(|entry| entry.path == *path) {
        original::put_back(host, entry)?;
        host.owned().release(path)?;
    }
    Ok(())
}

/// What a change replaces: each path it writes, and each of ours that it takes away.
fn replaced(
    host: &Host,
    order: &NetworkOrder,
) -> Result<BTreeMap<String, Replaced>, ResourceError> {
    let written = order.spec.paths().map(|(path, _)| path);
    let paths = written.chain(surplus(host, order));
    let of = |path: String| {
        let ours = host.owned().owns(&path).then(|| file::text(host, &path)).transpose()?.flatten();
        Ok((path, ours.map_or(Replaced::Theirs, Replaced::Ours)))
    };
    paths.map(of).collect()
}

fn observe(host: &Host, order: &NetworkOrder) -> Result<Observed, ResourceError> {
    let mut differs = Vec::new();
    let mut missing = 0;
    for (path, content) in order.spec.paths() {
        let seen = file::observe(host, &file::of_text(path.clone(), content))?;
        if seen.drift == Drift::Missing {
            missing += 1;
            differs.push(Difference::new(&path, None, Some("a file".to_owned())));
        }
        differs.extend(seen.differs.into_iter().map(|one| one.of(&path)));
    }
    for path in surplus(host, order) {
        differs.push(Difference::new(&path, Some("a file of ours".to_owned()), None));
    }
    let trial = NetworkRecord::read(host)?.trial;
    if trial.is_some() {
        let (is, wanted) = ("on trial".to_owned(), "proven".to_owned());
        differs.push(Difference::new("change", Some(is), Some(wanted)));
    }
    if missing == order.spec.files.len() && trial.is_none() {
        return Ok(Observed::missing());
    }
    let files: Vec<_> = order.spec.files.keys().collect();
    Ok(Observed::compared(differs, json!({ "files": files })))
}

/// Files that an earlier bundle brought and this one does not.
fn surplus(host: &Host, order: &NetworkOrder) -> Vec<String> {
    let folder = NetworkConfigSpec::folder();
    let wanted: BTreeSet<String> = order.spec.paths().map(|(path, _)| path).collect();
    let is_surplus = |entry: &OwnedEntry| {
        entry.kind == ResourceKind::File
            && entry.path.starts_with(&folder)
            && !wanted.contains(&entry.path)
            && !order.others.contains(&entry.path)
    };
    host.owned().entries().into_iter().filter(is_surplus).map(|entry| entry.path).collect()
}
