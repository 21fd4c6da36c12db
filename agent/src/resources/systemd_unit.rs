//! `kind = "systemd-unit"`: files of a unit, whether it is enabled, whether it runs.
//!
//! Files and links first, then systemd reads them, then the unit is started, stopped or restarted. A unit
//! that runs is restarted when its files or a resource of `restart_on` are others than when it was last
//! started; that is remembered, so a crash in between does not lose it. What the bundle leaves open is put
//! back to what it was before us.
//! Not here: talking to systemd (see `systemd`), writing files (see `file`).

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wavegate_proto::artifact::bundle::{Bundle, Holding, SystemdUnitSpec, UnitState};
use wavegate_proto::ids::{ResourceId, Sha256Hash};
use wavegate_proto::wire::resource::{Drift, Operation, ResourceKind};

use super::difference::Difference;
use super::durable::{self, Stored};
use super::error::{Doing as _, ResourceError};
use super::file;
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread};
use super::original::{self, Original};
use super::owned::OwnedEntry;
use super::systemd::{Systemd, UnitJob, UnitSeen};

/// The kind.
#[derive(Debug)]
pub struct SystemdUnit;

/// A unit, and what it must have been started with.
#[derive(Debug, Clone)]
pub struct UnitOrder {
    spec: SystemdUnitSpec,
    stamp: Sha256Hash,
}

impl UnitOrder {
    /// The unit of a bundle.
    #[must_use]
    pub fn of(bundle: &Bundle, spec: &SystemdUnitSpec) -> Self {
        let others = bundle.resources.iter().filter(|r| spec.restart_on.contains(&r.id));
        let others: Vec<Value> = others.map(|resource| json!(resource)).collect();
        let all = json!([spec.content, spec.drop_ins, others]).to_string();
        Self { spec: spec.clone(), stamp: Sha256Hash::of(all.as_bytes()) }
    }
}

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    enabled: bool,
    active: bool,
}

/// What a unit was last started with.
#[derive(Debug, Serialize, Deserialize)]
struct Started {
    stamp: String,
}

impl Kind for SystemdUnit {
    type Spec = UnitOrder;

    async fn observe(host: Arc<Host>, order: UnitOrder) -> Result<Observed, ResourceError> {
        let systemd = host.systemd().await?;
        let seen = systemd.look(&order.spec.name).await?;
        on_thread(move || observe(&host, &order, &seen)).await
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        order: UnitOrder,
    ) -> Result<Operation, ResourceError> {
        let systemd = host.systemd().await?;
        let seen = systemd.look(&order.spec.name).await?;
        let (on_host, own, found) = (Arc::clone(&host), order.clone(), seen.clone());
        let observed = on_thread(move || observe(&on_host, &own, &found)).await?;
        if observed.drift == Drift::Ok {
            return Ok(Operation::None);
        }
        let (on_host, own, found) = (Arc::clone(&host), order.clone(), seen.clone());
        let wrote = on_thread(move || write_files(&on_host, &id, &own.spec, &found)).await?;
        let wanted = Wanted::of(&host, &order.spec)?;
        host.intend_change()?;
        if let Some(enabled) = wanted.enabled.filter(|enabled| *enabled != seen.is_enabled()) {
            systemd.enable(&order.spec.name, enabled).await?;
            host.note_change();
        }
        reload_if_stale(&host, &systemd, &order.spec.name, wrote).await?;
        set_state(&host, &systemd, &order, wanted.state, wrote).await?;
        Ok(match observed.drift {
            Drift::Missing => Operation::Create,
            Drift::Ok | Drift::Changed | Drift::Orphaned => Operation::Update,
        })
    }

    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        let before: Before = entry.original.read_kept(&entry.path)?;
        let name = entry.path.split_once(':').map_or("", |(_, name)| name);
        let systemd = host.systemd().await?;
        let seen = systemd.look(name).await?;
        let is_active = seen.state() == UnitState::Active;
        host.intend_change()?;
        if is_active && !before.active {
            systemd.run(UnitJob::Stop, name).await?;
        }
        // Of a unit whose file has just gone nobody can tell; its links may be left.
        let may_be_enabled = seen.is_enabled() || seen.file_state.is_none();
        if may_be_enabled && !before.enabled || before.enabled && !seen.is_enabled() {
            match systemd.enable(name, before.enabled).await {
                // Neither a file nor a link: that is what was wanted.
                Err(ResourceError::UnitRefused { .. }) if seen.file_state.is_none() => {}
                other => other?,
            }
        }
        systemd.reload().await?;
        if before.active && (!is_active || seen.is_stale) {
            systemd.run(UnitJob::Restart, name).await?;
        }
        host.note_change();
        durable::remove(host.steps(), &stamp_path(&host, name))
            .doing(ResourceError::io("remove", "the record of a start"))?;
        Ok(Removal::PutBack)
    }
}

/// What should be, with what is left open as it was before us.
struct Wanted {
    enabled: Option<bool>,
    state: Option<UnitState>,
}

impl Wanted {
    fn of(host: &Host, spec: &SystemdUnitSpec) -> Result<Self, ResourceError> {
        let name = Holding::named(ResourceKind::SystemdUnit, &spec.name).name;
        let entry = host.owned().entries().into_iter().find(|entry| entry.path == name);
        let before: Option<Before> =
            entry.map(|entry| entry.original.read_kept(&entry.path)).transpose()?;
        let state = |active| if active { UnitState::Active } else { UnitState::Inactive };
        Ok(Self {
            enabled: spec.enabled.or(before.as_ref().map(|before| before.enabled)),
            state: spec.state.or(before.map(|before| state(before.active))),
        })
    }
}

fn word(state: UnitState) -> &'static str {
    match state {
        UnitState::Active => "active",
        UnitState::Inactive => "inactive",
    }
}

fn observe(host: &Host, order: &UnitOrder, seen: &UnitSeen) -> Result<Observed, ResourceError> {
    let spec = &order.spec;
    let mut differs = Vec::new();
    let mut is_missing = false;
    for (path, content) in spec.files() {
        let file = file::observe(host, &file::of_text(path.clone(), content))?;
        is_missing |= file.drift == Drift::Missing && path == spec.path();
        if file.drift == Drift::Missing {
            differs.push(Difference::new(&path, None, Some("a file".to_owned())));
        }
        differs.extend(file.differs.into_iter().map(|one| one.of(&path)));
    }
    for path in surplus_drop_ins(host, spec) {
        differs.push(Difference::new(&path, Some("a file of ours".to_owned()), None));
    }
    let wanted = Wanted::of(host, spec)?;
    if let Some(enabled) = wanted.enabled {
        let (is, wanted) = (seen.is_enabled().to_string(), enabled.to_string());
        differs.extend(Difference::between("enabled", &is, &wanted));
    }
    if let Some(state) = wanted.state {
        differs.extend(Difference::between("state", word(seen.state()), word(state)));
    }
    let runs = seen.state() == UnitState::Active && wanted.state != Some(UnitState::Inactive);
    if runs && must_restart(host, order)? {
        let is = "with other files".to_owned();
        differs.push(Difference::new("started", Some(is), Some("with these".to_owned())));
    }
    let detail = json!({
        "load": seen.load, "active": seen.active, "sub": seen.sub, "restarts": seen.restarts,
        "since": seen.since_usec / 1_000_000, "enabled": seen.file_state,
    });
    let mut observed = Observed::compared(differs, detail);
    if is_missing {
        observed.drift = Drift::Missing;
    }
    Ok(observed)
}

/// Drop-ins that an earlier bundle brought and this one does not.
fn surplus_drop_ins(host: &Host, spec: &SystemdUnitSpec) -> Vec<String> {
    let folder = format!("{}/", spec.drop_in_folder());
    let wanted: Vec<String> = spec.files().map(|(path, _)| path).collect();
    let is_surplus = |entry: &OwnedEntry| {
        entry.kind == ResourceKind::File
            && entry.path.starts_with(&folder)
            && !wanted.contains(&entry.path)
    };
    host.owned().entries().into_iter().filter(is_surplus).map(|entry| entry.path).collect()
}

fn stamp_path(host: &Host, name: &str) -> PathBuf {
    host.state_dir().join("units").join(format!("{}.json", Sha256Hash::of(name.as_bytes())))
}

/// Whether a unit that runs was started with other files. One that ran before us was not, unless it
/// follows other resources.
fn must_restart(host: &Host, order: &UnitOrder) -> Result<bool, ResourceError> {
    let act = ResourceError::io("read", "the record of a start");
    match durable::read_json::<Started>(&stamp_path(host, &order.spec.name)).doing(act)? {
        Stored::Found(started) => Ok(started.stamp != order.stamp.to_string()),
        Stored::Absent | Stored::Unreadable(_) => Ok(!order.spec.restart_on.is_empty()),
    }
}

fn remember_start(host: &Host, order: &UnitOrder) -> Result<(), ResourceError> {
    let act = ResourceError::io("write", "the record of a start");
    let path = stamp_path(host, &order.spec.name);
    std::fs::create_dir_all(host.state_dir().join("units")).doing(act)?;
    let started = Started { stamp: order.stamp.to_string() };
    durable::write_json(host.steps(), &path, &started).doing(act)
}

/// Whether anything was written.
fn write_files(
    host: &Host,
    id: &ResourceId,
    spec: &SystemdUnitSpec,
    seen: &UnitSeen,
) -> Result<bool, ResourceError> {
    let before = Before { enabled: seen.is_enabled(), active: seen.state() == UnitState::Active };
    let holding = Holding::named(ResourceKind::SystemdUnit, &spec.name);
    host.owned().claim(id, holding.kind, &holding.name, |_| Original::kept(&before))?;
    let mut wrote = false;
    for path in surplus_drop_ins(host, spec) {
        for entry in host.owned().entries().iter().filter(|entry| entry.path == path) {
            original::put_back(host, entry)?;
        }
        host.owned().release(&path)?;
        wrote = true;
    }
    for (path, content) in spec.files() {
        wrote |= file::reconcile(host, id, &file::of_text(path, content))? != Operation::None;
    }
    Ok(wrote)
}

/// Units that are worked on at the same time share one reading.
async fn reload_if_stale(
    host: &Host,
    systemd: &Systemd,
    name: &str,
    wrote: bool,
) -> Result<(), ResourceError> {
    let _one = host.reloading().lock().await;
    let seen = systemd.look(name).await?;
    if seen.is_stale || (wrote && seen.load != "loaded") {
        systemd.reload().await?;
    }
    Ok(())
}

async fn set_state(
    host: &Arc<Host>,
    systemd: &Systemd,
    order: &UnitOrder,
    wanted: Option<UnitState>,
    wrote: bool,
) -> Result<(), ResourceError> {
    let name = &order.spec.name;
    let is = systemd.look(name).await?.state();
    let (on_host, own) = (Arc::clone(host), order.clone());
    let must_restart = wrote || on_thread(move || must_restart(&on_host, &own)).await?;
    let job = match (wanted, is) {
        (Some(UnitState::Inactive), UnitState::Active) => Some(UnitJob::Stop),
        (Some(UnitState::Active), UnitState::Inactive) => Some(UnitJob::Start),
        (Some(UnitState::Active) | None, UnitState::Active) if must_restart => {
            Some(UnitJob::Restart)
        }
        (Some(_) | None, _) => None,
    };
    if let Some(job) = job {
        systemd.run(job, name).await?;
        host.note_change();
    }
    let (on_host, own) = (Arc::clone(host), order.clone());
    on_thread(move || remember_start(&on_host, &own)).await
}
