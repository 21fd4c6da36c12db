//! Finding the release that a channel goes back to when nobody names it: the newest signed one beside
//! the current release in which the channel ran something else.
//!
//! Not here: whether that release was ever published (only the control plane knows), so the answer is
//! always told to whoever asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wavegate_proto::artifact::fleet::FleetDocument;
use wavegate_proto::artifact::release_dir as names;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, Serial};

use crate::release::dir::{self, DirError};
use crate::release::unsigned::fleet_document;

/// The folder of the release before `current` (in the folder `beside`) in which `channel` ran
/// something else; `None`: there is none beside it.
///
/// # Errors
/// When the disk says no.
pub fn find(
    beside: &Path,
    current: &FleetDocument,
    channel: &ChannelName,
) -> Result<Option<PathBuf>, DirError> {
    let canonical = fs::canonicalize(beside).map_err(DirError::io(beside))?;
    let Some(parent) = canonical.parent() else { return Ok(None) };
    let mut found: Option<(Serial, PathBuf)> = None;
    for entry in fs::read_dir(parent).map_err(DirError::io(parent))? {
        let path = entry.map_err(DirError::io(parent))?.path();
        let Some(fleet) = signed_fleet(&path) else { continue };
        let is_older = fleet.fleet == current.fleet && fleet.serial < current.serial;
        let is_newest = found.as_ref().is_none_or(|(serial, _)| fleet.serial > *serial);
        if is_older && is_newest && ran_something_else(&fleet, current, channel) {
            found = Some((fleet.serial, path));
        }
    }
    Ok(found.map(|(_, path)| path))
}

/// The fleet document of a release folder that somebody signed; whatever else lies there is none.
fn signed_fleet(path: &Path) -> Option<FleetDocument> {
    let signatures = dir::read_signatures(path, names::FLEET).ok()?;
    let bytes = dir::read(path, names::FLEET).ok()?;
    let fleet = fleet_document(path, &bytes).ok()?;
    (!signatures.signatures.is_empty()).then_some(fleet)
}

/// Whether a host that is on the channel in both ran another closure there.
fn ran_something_else(then: &FleetDocument, now: &FleetDocument, channel: &ChannelName) -> bool {
    let runs = |fleet: &FleetDocument| -> BTreeMap<HostName, ClosureId> {
        let members = fleet.hosts.iter().filter(|(_, host)| host.channel == *channel);
        members.map(|(name, host)| (name.clone(), host.closure.clone())).collect()
    };
    let then = runs(then);
    runs(now).iter().any(|(host, closure)| then.get(host).is_some_and(|ran| ran != closure))
}
