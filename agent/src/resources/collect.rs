//! Taking away what is ours and no longer wanted, newest first.
//!
//! Going back to nothing is the same with nothing wanted.
//! Not here: how one path is put back (see `original`).

use std::sync::Arc;

use wavegate_proto::artifact::bundle::{Bundle, Holding};
use wavegate_proto::wire::resource::ResourceKind;

use super::error::ResourceError;
use super::host::Host;
use super::kind::{self, Removal};
use super::owned::OwnedEntry;
use super::ownership;
use super::status::{Charge, Statuses};

/// What to take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Only what stands in the way of the bundle: a file where a folder is wanted, or the reverse.
    InTheWay,
    /// Everything the bundle does not name. What cannot be put back, because its saved content is
    /// lost, stays and is reported: a new release must be able to go on.
    Rest,
    /// The same on the way back to nothing, where what cannot be put back is a failure.
    Everything,
}

/// Takes away what is ours and `bundle` does not want.
pub(crate) async fn collect(
    host: &Arc<Host>,
    statuses: &Statuses,
    charge: &Charge,
    bundle: &Bundle,
    sweep: Sweep,
) -> Result<(), ResourceError> {
    let wanted = wanted_by(bundle);
    let mut entries = host.owned().entries();
    entries.retain(|entry| match sweep {
        Sweep::InTheWay => is_in_the_way(entry, &wanted),
        Sweep::Rest | Sweep::Everything => !is_wanted(entry, &wanted),
    });
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.order));
    for entry in entries {
        let removal = match (kind::delete(host, entry.clone()).await, sweep) {
            (Err(ResourceError::SavedMissing { .. }), Sweep::Rest) => {
                tracing::warn!(path = entry.path, "what was there before is lost: left in place");
                Removal::LeftInPlace { why: "what was there before is lost" }
            }
            (removal, _) => removal?,
        };
        let host_of_release = Arc::clone(host);
        let path = entry.path.clone();
        kind::on_thread(move || host_of_release.owned().release(&path)).await?;
        // A folder made on the way to a file has the file's resource, which may well be wanted.
        if !bundle.resources.iter().any(|resource| resource.id == entry.resource) {
            statuses.deleted(&entry.resource, entry.kind, charge, &describe(&removal, &entry));
        }
    }
    match sweep {
        Sweep::InTheWay | Sweep::Everything => Ok(()),
        Sweep::Rest => give_folders_back(host, wanted).await,
    }
}

/// Folders that the bundle does not name, and that stay because it puts something into them.
async fn give_folders_back(host: &Arc<Host>, wanted: Vec<Holding>) -> Result<(), ResourceError> {
    let mut folders = host.owned().entries();
    folders.retain(|entry| {
        let is_named = wanted.iter().any(|one| one.name == entry.path);
        entry.kind == ResourceKind::Directory && !is_named
    });
    let host = Arc::clone(host);
    let give_back = move || folders.iter().try_for_each(|f| ownership::give_back(&host, &f.path));
    kind::on_thread(give_back).await
}

fn describe(removal: &Removal, entry: &OwnedEntry) -> String {
    let path = &entry.path;
    match removal {
        Removal::Removed => format!("removed {path}"),
        Removal::PutBack => format!("put back what was at {path}"),
        Removal::AlreadyDone => format!("nothing left to do at {path}"),
        Removal::LeftInPlace { why } => format!("left {path} in place: {why}"),
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Everything that a bundle keeps on a host.
pub(crate) fn wanted_by(bundle: &Bundle) -> Vec<Holding> {
    bundle.resources.iter().flat_map(|resource| resource.spec.holdings()).collect()
}

/// A path is wanted when the bundle names it, a folder also when the bundle names something in it.
pub(crate) fn is_wanted(entry: &OwnedEntry, wanted: &[Holding]) -> bool {
    let named = |one: &Holding| one.name == entry.path && one.kind == entry.kind;
    let holds =
        |one: &Holding| entry.kind == ResourceKind::Directory && is_below(&one.name, &entry.path);
    wanted.iter().any(|one| named(one) || holds(one))
}

fn is_in_the_way(entry: &OwnedEntry, wanted: &[Holding]) -> bool {
    wanted.iter().any(|Holding { name: path, kind }| {
        (*path == entry.path && *kind != entry.kind)
            || (*kind == ResourceKind::File && is_below(&entry.path, path))
            || (entry.kind == ResourceKind::File && is_below(path, &entry.path))
    })
}
