//! What was at a path before we changed it: keeping it, and putting it back.
//!
//! Content is copied to `saved/` in the state folder and durable there before the change. Owner,
//! permission bits and link targets are kept; extended attributes and times are not.
//! Not here: the list of what we changed (see `owned`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Stat;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wavegate_proto::ids::Sha256Hash;
use wavegate_proto::wire::resource::ResourceKind;

use super::durable::sync_folder_of;
use super::error::{Doing as _, ResourceError};
use super::host::Host;
use super::kind::Removal;
use super::owned::OwnedEntry;
use super::place::{Found, Place};
use super::root::Attributes;
use super::steps::{Step, Steps};

/// What was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Original {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// The name of its content in `saved/`.
        saved: String,
        /// Permission bits.
        mode: u32,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// A symbolic link.
    Link {
        /// Where it pointed.
        target: String,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Something that is no path, as its kind describes it.
    Kept {
        /// What it was like.
        state: Value,
    },
    /// A folder; its content is none of ours.
    Folder {
        /// Permission bits.
        mode: u32,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

impl Original {
    /// What was like this, in the words of its kind.
    pub(crate) fn kept<T: Serialize>(state: &T) -> Result<Self, ResourceError> {
        let act = ResourceError::io("describe", "what was there before");
        let state = serde_json::to_value(state).map_err(io::Error::from).doing(act)?;
        Ok(Self::Kept { state })
    }

    /// What [`Original::kept`] kept of `name`.
    pub(crate) fn read_kept<T: DeserializeOwned>(&self, name: &str) -> Result<T, ResourceError> {
        let missing = || ResourceError::SavedMissing { path: name.to_owned() };
        match self {
            Self::Kept { state } => serde_json::from_value(state.clone()).map_err(|_| missing()),
            Self::Absent | Self::File { .. } | Self::Link { .. } | Self::Folder { .. } => {
                Err(missing())
            }
        }
    }

    /// A folder with these attributes.
    pub(crate) fn folder(stat: &Stat) -> Self {
        Self::Folder { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
    }
}

/// The folder of saved contents.
#[derive(Debug)]
pub struct SavedFolder {
    path: PathBuf,
    steps: Arc<dyn Steps>,
}

impl SavedFolder {
    /// The highest number that something is kept under in a state folder, 0 when nothing is; `None`
    /// when it has no such folder.
    pub(crate) fn highest(state_dir: &Path) -> Option<u64> {
        let entries = fs::read_dir(state_dir.join("saved")).ok()?;
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        Some(entries.flatten().filter_map(number).max().unwrap_or(0))
    }

    pub(crate) fn open(state_dir: &Path, steps: Arc<dyn Steps>) -> io::Result<Self> {
        let path = state_dir.join("saved");
        fs::create_dir_all(&path)?;
        sync_folder_of(&path)?;
        Ok(Self { path, steps })
    }

    /// Keeps what is at `place` under `order`, durably.
    pub(crate) fn keep(
        &self,
        place: &Place,
        found: &Found,
        order: u64,
    ) -> Result<Original, ResourceError> {
        match found {
            Found::Absent => Ok(Original::Absent),
            Found::Folder(stat) => Ok(Original::folder(stat)),
            Found::Link(stat) => Ok(Original::Link {
                target: place.read_link()?,
                uid: stat.st_uid,
                gid: stat.st_gid,
            }),
            Found::File(stat) => {
                let saved = format!("{order:08}");
                let mut source = place.open_file()?;
                self.write(&saved, &mut source)
                    .doing(ResourceError::io("keep the content of", place.path()))?;
                let mode = stat.st_mode & 0o7777;
                Ok(Original::File { saved, mode, uid: stat.st_uid, gid: stat.st_gid })
            }
            Found::Other => Err(place.unexpected(found.describe())),
        }
    }

    fn write(&self, name: &str, source: &mut File) -> io::Result<()> {
        self.steps.before(Step::SaveOriginal)?;
        let path = self.path.join(name);
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let kept = options.open(&path).and_then(|mut file| {
            io::copy(source, &mut file)?;
            file.sync_all()
        });
        if let Err(error) = kept {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        sync_folder_of(&path)
    }

    fn read(&self, name: &str, path: &str) -> Result<File, ResourceError> {
        File::open(self.path.join(name)).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                ResourceError::SavedMissing { path: path.to_owned() }
            } else {
                ResourceError::io("read the saved content of", path).refused(error)
            }
        })
    }

    /// Removes a content that is no longer needed. One that stays is harmless.
    pub(crate) fn forget(&self, original: &Original) {
        if let Original::File { saved, .. } = original {
            let path = self.path.join(saved);
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "saved content not removed");
            }
        }
    }
}

/// Puts back what was at the path of `entry` before we came. Done twice it changes nothing more.
pub(crate) fn put_back(host: &Host, entry: &OwnedEntry) -> Result<Removal, ResourceError> {
    let place = match host.root().place(&entry.path) {
        Ok(place) => place,
        Err(ResourceError::ParentMissing { .. }) if entry.original == Original::Absent => {
            return Ok(Removal::AlreadyDone);
        }
        Err(error) => return Err(error),
    };
    place.clear_temporary(host.steps())?;
    match &entry.original {
        Original::Absent => remove(host, &place, entry.kind),
        Original::File { saved, mode, uid, gid } => {
            let attributes = Attributes { mode: *mode, uid: Some(*uid), gid: Some(*gid) };
            put_back_file(host, &place, saved, attributes)
        }
        Original::Kept { .. } => Ok(Removal::LeftInPlace { why: "it is no path" }),
        Original::Link { target, uid, gid } => put_back_link(host, &place, target, (*uid, *gid)),
        Original::Folder { mode, uid, gid } => {
            let attributes = Attributes { mode: *mode, uid: Some(*uid), gid: Some(*gid) };
            put_back_folder(host, &place, attributes)
        }
    }
}

fn remove(host: &Host, place: &Place, kind: ResourceKind) -> Result<Removal, ResourceError> {
    let found = place.look()?;
    match (kind, &found) {
        (_, Found::Absent) => Ok(Removal::AlreadyDone),
        (ResourceKind::File, Found::File(_) | Found::Link(_)) => {
            host.change(|| place.remove_file(host.steps()))?;
            Ok(Removal::Removed)
        }
        (ResourceKind::Directory, Found::Folder(_)) => {
            host.intend_change()?;
            if place.remove_empty_folder(host.steps())? {
                host.note_change();
                Ok(Removal::Removed)
            } else {
                Ok(Removal::LeftInPlace { why: "it is not empty" })
            }
        }
        (_, Found::File(_) | Found::Folder(_) | Found::Link(_) | Found::Other) => {
            Ok(Removal::LeftInPlace { why: "something else is in its place" })
        }
    }
}

fn put_back_file(
    host: &Host,
    place: &Place,
    saved: &str,
    attributes: Attributes,
) -> Result<Removal, ResourceError> {
    let mut content = host.owned().saved().read(saved, place.path())?;
    match place.look()? {
        Found::Folder(_) | Found::Other => {
            return Ok(Removal::LeftInPlace { why: "something else is in its place" });
        }
        Found::File(stat) if attributes.match_stat(&stat) => {
            let act = ResourceError::io("compare", place.path());
            let was = digest(&mut content).doing(act)?;
            let is = digest(&mut place.open_file()?).doing(act)?;
            if was == is {
                return Ok(Removal::AlreadyDone);
            }
            content = host.owned().saved().read(saved, place.path())?;
        }
        Found::File(_) | Found::Absent | Found::Link(_) => {}
    }
    host.change(|| place.replace(host.steps(), &mut content, attributes))?;
    Ok(Removal::PutBack)
}

fn put_back_link(
    host: &Host,
    place: &Place,
    target: &str,
    owner: (u32, u32),
) -> Result<Removal, ResourceError> {
    match place.look()? {
        Found::Folder(_) | Found::Other => {
            return Ok(Removal::LeftInPlace { why: "something else is in its place" });
        }
        Found::Link(_) if place.read_link()? == target => return Ok(Removal::AlreadyDone),
        Found::Link(_) | Found::File(_) | Found::Absent => {}
    }
    host.change(|| place.replace_with_link(host.steps(), target, owner))?;
    Ok(Removal::PutBack)
}

fn put_back_folder(
    host: &Host,
    place: &Place,
    attributes: Attributes,
) -> Result<Removal, ResourceError> {
    if matches!(place.look()?, Found::Absent) {
        host.change(|| host.make_folder(place, attributes))?;
        return Ok(Removal::PutBack);
    }
    let act = ResourceError::io("set owner and mode of", place.path());
    let Some(folder) = host.root().folder(place.path())? else {
        return Ok(Removal::LeftInPlace { why: "something else is in its place" });
    };
    if attributes.match_stat(&rustix::fs::fstat(&folder).doing(act)?) {
        return Ok(Removal::AlreadyDone);
    }
    host.change(|| {
        host.steps().before(Step::SetAttributes).doing(act)?;
        attributes.apply_to_folder(&folder).doing(act)
    })?;
    Ok(Removal::PutBack)
}

/// The SHA-256 of what can be read.
pub(crate) fn digest(content: &mut dyn Read) -> io::Result<Sha256Hash> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            return Ok(Sha256Hash(hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
    }
}
