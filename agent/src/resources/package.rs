//! `kind = "package"`: installed, in a version, held or not.
//!
//! Only the package itself is taken back: what came along with it stays, and so does its configuration.
//! Not here: apt (see `apt`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wavegate_proto::artifact::bundle::{Holding, PackageSpec};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Operation, ResourceKind};

use super::apt::{Apt, PackageJob, PackageSeen};
use super::difference::Difference;
use super::error::ResourceError;
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread};
use super::original::Original;
use super::owned::OwnedEntry;

/// The kind.
#[derive(Debug)]
pub struct Package;

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    version: Option<String>,
    hold: bool,
}

impl Kind for Package {
    type Spec = PackageSpec;

    async fn observe(host: Arc<Host>, spec: PackageSpec) -> Result<Observed, ResourceError> {
        let seen = Apt::below(host.root().path()).look(&spec.name).await?;
        Ok(observed(&spec, seen.as_ref()))
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: PackageSpec,
    ) -> Result<Operation, ResourceError> {
        let _one = host.installing().lock().await;
        let apt = Apt::below(host.root().path());
        let seen = apt.look(&spec.name).await?;
        let operation = match &seen {
            Some(seen) if fits(&spec, seen) => return Ok(Operation::None),
            Some(_) => Operation::Update,
            None => Operation::Create,
        };
        let before = Before {
            version: seen.as_ref().map(|seen| seen.version.clone()),
            hold: seen.as_ref().is_some_and(|seen| seen.hold),
        };
        let (on_host, name) = (Arc::clone(&host), spec.name.clone());
        on_thread(move || {
            let holding = Holding::named(ResourceKind::Package, &name);
            let keep = |_| Original::kept(&before);
            on_host.owned().claim(&id, holding.kind, &holding.name, keep)?;
            on_host.intend_change()
        })
        .await?;
        bring_about(&apt, &host, &spec, seen.as_ref()).await?;
        Ok(operation)
    }

    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        let before: Before = entry.original.read_kept(&entry.path)?;
        let name = entry.path.split_once(':').map_or("", |(_, name)| name);
        let _one = host.installing().lock().await;
        let apt = Apt::below(host.root().path());
        let seen = apt.look(name).await?;
        match (before.version, seen) {
            (None, None) => Ok(Removal::AlreadyDone),
            (None, Some(_)) => {
                host.intend_change()?;
                match apt.change(PackageJob::Remove, name).await {
                    Ok(()) => host.note_change(),
                    Err(ResourceError::WouldRemove { .. }) => {
                        return Ok(Removal::LeftInPlace { why: "other packages need it" });
                    }
                    Err(error) => return Err(error),
                }
                Ok(Removal::Removed)
            }
            (Some(version), seen) => {
                host.intend_change()?;
                let hold = Some(before.hold);
                let was = PackageSpec { name: name.to_owned(), version: Some(version), hold };
                if seen.as_ref().is_some_and(|seen| fits(&was, seen)) {
                    return Ok(Removal::AlreadyDone);
                }
                bring_about(&apt, &host, &was, seen.as_ref()).await?;
                Ok(Removal::PutBack)
            }
        }
    }
}

fn fits(spec: &PackageSpec, seen: &PackageSeen) -> bool {
    spec.version.as_ref().is_none_or(|version| *version == seen.version)
        && spec.hold.is_none_or(|hold| hold == seen.hold)
}

async fn bring_about(
    apt: &Apt,
    host: &Host,
    spec: &PackageSpec,
    seen: Option<&PackageSeen>,
) -> Result<(), ResourceError> {
    let wanted = spec.version.as_deref();
    let is_there = seen.is_some_and(|seen| wanted.is_none_or(|version| version == seen.version));
    if !is_there {
        apt.change(PackageJob::Install(wanted), &spec.name).await?;
        host.note_change();
    }
    let is_held = seen.is_some_and(|seen| seen.hold);
    if let Some(hold) = spec.hold.filter(|hold| *hold != is_held) {
        apt.hold(&spec.name, hold).await?;
        host.note_change();
    }
    Ok(())
}

fn observed(spec: &PackageSpec, seen: Option<&PackageSeen>) -> Observed {
    let Some(seen) = seen else { return Observed::missing() };
    let version = spec.version.as_deref().unwrap_or(&seen.version);
    let hold = spec.hold.unwrap_or(seen.hold);
    let differs = [
        Difference::between("version", &seen.version, version),
        Difference::between("hold", &seen.hold.to_string(), &hold.to_string()),
    ];
    let detail = json!({ "version": seen.version, "hold": seen.hold });
    Observed::compared(differs.into_iter().flatten().collect(), detail)
}
