//! Whose a file or folder is, and what it leaves alone: what an earlier bundle had set goes back.
//!
//! What a bundle leaves alone stays as it is, unless an earlier bundle had set it: then it goes back to what it was before
//! that, so that a rollback gives the prior bundle's tree again, owners included.
//! Not here: setting it (see `file`, `directory`).

use rustix::fs::Stat;
use rustix::process::{getegid, geteuid};
use wavegate_proto::wire::resource::ResourceKind;

use super::error::{Doing as _, ResourceError};
use super::host::Host;
use super::owned::Before;
use super::root::Attributes;
use super::steps::Step;

/// What `path` should get, when a bundle asks for `asked`.
pub(crate) fn wanted(host: &Host, path: &str, asked: Attributes) -> Attributes {
    let before = host.owned().before(path);
    Attributes { uid: asked.uid.or(before.uid), gid: asked.gid.or(before.gid), ..asked }
}

/// Before attributes are set: keeps how they are. `found`: what is there; what is made is the agent's own.
pub(crate) fn keep(
    host: &Host,
    path: &str,
    (kind, found): (ResourceKind, Option<&Stat>),
    asked: Attributes,
) -> Result<(), ResourceError> {
    let own = || (geteuid().as_raw(), getegid().as_raw());
    let (uid, gid) = found.map_or_else(own, |stat| (stat.st_uid, stat.st_gid));
    let mode = found.filter(|_| kind == ResourceKind::Directory);
    let mode = mode.map(|stat| stat.st_mode & 0o7777).filter(|mode| *mode != asked.mode);
    let changes = |asked: Option<u32>, is: u32| asked.filter(|asked| *asked != is).map(|_| is);
    host.owned().set_before(path, |known| Before {
        uid: known.uid.or_else(|| changes(asked.uid, uid)),
        gid: known.gid.or_else(|| changes(asked.gid, gid)),
        mode: known.mode.or(mode),
    })
}

/// Everything is as `asked`: what it leaves alone is as it was, and nobody's business from now on.
pub(crate) fn settle(host: &Host, path: &str, asked: Attributes) -> Result<(), ResourceError> {
    host.owned().set_before(path, |known| Before {
        uid: known.uid.filter(|_| asked.uid.is_some()),
        gid: known.gid.filter(|_| asked.gid.is_some()),
        mode: known.mode,
    })
}

/// Gives a folder back the attributes it had before bundles set them: the bundle that runs does not name it, and
/// only puts something into it.
pub(crate) fn give_back(host: &Host, path: &str) -> Result<(), ResourceError> {
    let before = host.owned().before(path);
    if before == Before::default() {
        return Ok(());
    }
    let act = ResourceError::io("set owner and mode of", path);
    if let Some(folder) = host.root().folder(path)? {
        let stat = rustix::fs::fstat(&folder).doing(act)?;
        let mode = before.mode.unwrap_or(stat.st_mode & 0o7777);
        let attributes = Attributes { mode, uid: before.uid, gid: before.gid };
        if !attributes.match_stat(&stat) {
            host.change(|| {
                host.steps().before(Step::SetAttributes).doing(act)?;
                attributes.apply_to_folder(&folder).doing(act)
            })?;
        }
    }
    host.owned().set_before(path, |_| Before::default())
}
