//! `kind = "directory"`: a folder with mode, owner and group; and folders made on the way to a file.
//!
//! A folder is taken away only when we made it and it is empty. One that was there keeps its content
//! and gets its attributes back.
//! Not here: what lies in it.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::json;
use wavegate_proto::artifact::bundle::DirectorySpec;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Operation, ResourceKind};

use super::error::{Doing as _, ResourceError};
use super::file::{differing_attributes, wanted_attributes};
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread, put_back};
use super::original::Original;
use super::owned::OwnedEntry;
use super::ownership;
use super::place::{Found, Place};
use super::root::{Attributes, Missing};
use super::steps::Step;

/// The mode of folders made on the way to a file.
const PARENT_MODE: u32 = 0o755;

/// The kind.
#[derive(Debug)]
pub struct Directory;

impl Kind for Directory {
    type Spec = DirectorySpec;

    async fn observe(host: Arc<Host>, spec: DirectorySpec) -> Result<Observed, ResourceError> {
        on_thread(move || observe(&host, &spec)).await
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: DirectorySpec,
    ) -> Result<Operation, ResourceError> {
        on_thread(move || reconcile(&host, &id, &spec)).await
    }

    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        put_back(host, entry).await
    }
}

fn attributes_of(host: &Host, spec: &DirectorySpec) -> Result<Attributes, ResourceError> {
    wanted_attributes(host, &spec.mode, spec.owner.as_deref(), spec.group.as_deref())
}

fn observe(host: &Host, spec: &DirectorySpec) -> Result<Observed, ResourceError> {
    let attributes = ownership::wanted(host, &spec.path, attributes_of(host, spec)?);
    let folder = match host.root().folder(&spec.path) {
        Ok(Some(folder)) => folder,
        Ok(None) => return Ok(Observed::missing()),
        Err(ResourceError::UnexpectedType { found, .. }) => {
            return Ok(Observed::unlike(found, "a folder"));
        }
        Err(error) => return Err(error),
    };
    let stat = rustix::fs::fstat(&folder).doing(ResourceError::io("look at", &spec.path))?;
    let detail = json!({
        "mode": format!("{:04o}", stat.st_mode & 0o7777),
        "owner": host.accounts().user_name(stat.st_uid),
        "group": host.accounts().group_name(stat.st_gid),
    });
    Ok(Observed::compared(differing_attributes(host, &stat, attributes), detail))
}

fn reconcile(
    host: &Host,
    id: &ResourceId,
    spec: &DirectorySpec,
) -> Result<Operation, ResourceError> {
    let asked = attributes_of(host, spec)?;
    let wanted = ownership::wanted(host, &spec.path, asked);
    let Some(folder) = host.root().folder(&spec.path)? else {
        make(host, id, &host.root().place(&spec.path)?, (asked, wanted))?;
        return Ok(Operation::Create);
    };
    let act = ResourceError::io("look at", &spec.path);
    let stat = rustix::fs::fstat(&folder).doing(act)?;
    if wanted.match_stat(&stat) {
        ownership::settle(host, &spec.path, asked)?;
        return Ok(Operation::None);
    }
    let save = |_| Ok(Original::folder(&stat));
    host.owned().claim(id, ResourceKind::Directory, &spec.path, save)?;
    ownership::keep(host, &spec.path, (ResourceKind::Directory, Some(&stat)), asked)?;
    host.change(|| set_attributes(host, &folder, &spec.path, wanted))?;
    ownership::settle(host, &spec.path, asked)?;
    Ok(Operation::Update)
}

fn make(
    host: &Host,
    id: &ResourceId,
    place: &Place,
    (asked, attributes): (Attributes, Attributes),
) -> Result<(), ResourceError> {
    let found = place.look()?;
    if !matches!(found, Found::Absent) {
        return Err(place.unexpected(found.describe()));
    }
    let save = |order| host.owned().saved().keep(place, &found, order);
    host.owned().claim(id, ResourceKind::Directory, place.path(), save)?;
    ownership::keep(host, place.path(), (ResourceKind::Directory, None), asked)?;
    host.change(|| host.make_folder(place, attributes))?;
    ownership::settle(host, place.path(), asked)
}

fn set_attributes(
    host: &Host,
    folder: &OwnedFd,
    path: &str,
    attributes: Attributes,
) -> Result<(), ResourceError> {
    let act = ResourceError::io("set owner and mode of", path);
    host.steps().before(Step::SetAttributes).doing(act)?;
    attributes.apply_to_folder(folder).doing(act)
}

/// Makes the missing folders on the way to a file, each of them ours from then on.
pub(crate) struct MakeParents<'a> {
    pub(crate) host: &'a Host,
    pub(crate) id: &'a ResourceId,
}

impl Missing for MakeParents<'_> {
    fn make(&mut self, folder: &OwnedFd, name: &OsStr, written: &str) -> Result<(), ResourceError> {
        let folder = folder.try_clone().doing(ResourceError::io("make the folder", written))?;
        let place = Place::new(written.to_owned(), folder, name.to_owned());
        let attributes = Attributes { mode: PARENT_MODE, uid: None, gid: None };
        match (make(self.host, self.id, &place, (attributes, attributes)), place.look()?) {
            // Another resource that needs the same folder was faster.
            (Err(ResourceError::UnexpectedType { .. }), Found::Folder(_)) => Ok(()),
            (made, _) => made,
        }
    }
}
