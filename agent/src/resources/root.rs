//! Finds paths of a bundle below `--root`, without ever leaving it (G28).
//!
//! A path is walked one name at a time with `openat2`, each folder held open, so nothing that is
//! swapped on the way leads elsewhere. A symbolic link on the way is followed only if root owns it,
//! or, when the agent does not run as root, the agent's own user; it is read as if `--root` were
//! `/`. The last name of a file is never followed: what is there is replaced.
//! Not here: what is done at the place found (see `place`).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::error::{Doing as _, ResourceError};
use super::place::Place;

/// More links on one path than this are a loop.
const MAX_LINKS: u32 = 40;

/// The folder that a bundle's `/` stands for.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    folder: OwnedFd,
}

/// One name still to be walked.
struct Name {
    text: OsString,
    /// The path up to here as the bundle writes it; `None` for names that come from a link.
    written: Option<String>,
}

/// What to do about a folder that is missing on the way.
pub(crate) trait Missing {
    /// Called with the folder that lacks `name`; `written` is its path in the bundle. On `Ok` the
    /// folder is there.
    fn make(&mut self, folder: &OwnedFd, name: &OsStr, written: &str) -> Result<(), ResourceError>;
}

/// Leaves it missing.
struct LeaveMissing<'a>(&'a str);

impl Missing for LeaveMissing<'_> {
    fn make(&mut self, _: &OwnedFd, _: &OsStr, _: &str) -> Result<(), ResourceError> {
        Err(ResourceError::ParentMissing { path: self.0.to_owned() })
    }
}

impl Root {
    /// Opens `path` as the root.
    ///
    /// # Errors
    /// When it is not a folder that can be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), folder })
    }

    /// Where it is on the machine.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that holds `path`, and the last name.
    pub(crate) fn place(&self, path: &str) -> Result<Place, ResourceError> {
        self.place_making(path, &mut LeaveMissing(path))
    }

    /// Like [`Root::place`], with missing folders made by `missing`.
    pub(crate) fn place_making(
        &self,
        path: &str,
        missing: &mut dyn Missing,
    ) -> Result<Place, ResourceError> {
        let Some((parent, name)) = path.rsplit_once('/').filter(|(_, name)| is_plain(name)) else {
            return Err(ResourceError::BadBundle {
                reason: "bad-path",
                what: format!("path {path:?} names nothing"),
            });
        };
        let folder = self.walk(path, parent, missing)?;
        Ok(Place::new(path.to_owned(), folder, name.into()))
    }

    /// Opens the folder at `path`, following trusted links to the end. `None`: nothing is there.
    pub(crate) fn folder(&self, path: &str) -> Result<Option<OwnedFd>, ResourceError> {
        match self.walk(path, path, &mut LeaveMissing(path)) {
            Ok(folder) => Ok(Some(folder)),
            Err(ResourceError::ParentMissing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn walk(
        &self,
        whole: &str,
        folder: &str,
        missing: &mut dyn Missing,
    ) -> Result<OwnedFd, ResourceError> {
        let act = ResourceError::io("open a folder of", whole);
        let mut names = written_names(folder);
        let mut open = vec![self.folder.try_clone().doing(act)?];
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            if name.text == ".." {
                if open.len() > 1 {
                    open.pop();
                }
                continue;
            }
            let Some(here) = open.last() else { break };
            let next = match (open_one(here, &name.text), &name.written) {
                (Ok(next), _) => next,
                (Err(Errno::NOENT), Some(written)) => {
                    missing.make(here, &name.text, written)?;
                    open_one(here, &name.text).doing(act)?
                }
                (Err(Errno::NOENT), None) => {
                    return Err(ResourceError::ParentMissing { path: whole.to_owned() });
                }
                (Err(error), _) => return Err(act.refused(error)),
            };
            let stat = rustix::fs::fstat(&next).doing(act)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                open.push(next);
                continue;
            }
            if kind != FileType::Symlink {
                let path = whole.to_owned();
                return Err(ResourceError::UnexpectedType { path, found: "below a non-folder" });
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(act.refused(Errno::LOOP));
            }
            if !is_trusted(stat.st_uid) {
                return Err(ResourceError::ForeignLink {
                    path: whole.to_owned(),
                    uid: stat.st_uid,
                });
            }
            let target = rustix::fs::readlinkat(&next, "", Vec::new()).doing(act)?;
            if target.as_bytes().starts_with(b"/") {
                open.truncate(1);
            }
            push_link_names(&mut names, target.as_bytes());
        }
        open.pop().ok_or_else(|| act.refused(Errno::NOENT))
    }
}

fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
}

fn written_names(folder: &str) -> VecDeque<Name> {
    let mut written = String::new();
    let mut names = VecDeque::new();
    for text in folder.split('/').filter(|text| !matches!(*text, "" | ".")) {
        written.push('/');
        written.push_str(text);
        names.push_back(Name { text: text.into(), written: Some(written.clone()) });
    }
    names
}

fn push_link_names(names: &mut VecDeque<Name>, target: &[u8]) {
    let parts = target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    for part in parts.rev() {
        names.push_front(Name { text: OsString::from_vec(part.to_vec()), written: None });
    }
}

/// Opens one name, a link as the link itself.
fn open_one(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve)
}

/// Links of root are followed; run as another user, that user's own too, who could do by hand
/// whatever the link makes the agent do.
fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// Makes the entries of a folder durable. Folders that may not be read cannot be synced and are
/// left to the file system.
pub(crate) fn sync_folder(folder: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, ".", flags, Mode::empty()) {
        Ok(readable) => File::from(readable).sync_all(),
        Err(Errno::ACCESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Owner and permission bits to set; what is `None` is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits.
    pub(crate) mode: u32,
    /// The owner.
    pub(crate) uid: Option<u32>,
    /// The group.
    pub(crate) gid: Option<u32>,
}

impl Attributes {
    /// Whether `stat` shows them.
    pub(crate) fn match_stat(&self, stat: &rustix::fs::Stat) -> bool {
        stat.st_mode & 0o7777 == self.mode
            && self.uid.is_none_or(|uid| uid == stat.st_uid)
            && self.gid.is_none_or(|gid| gid == stat.st_gid)
    }

    /// Sets them on an open folder, owner first: a change of owner clears set-id bits.
    pub(crate) fn apply_to_folder(&self, folder: &OwnedFd) -> rustix::io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            let (uid, gid) = self.ids();
            rustix::fs::chownat(folder, ".", uid, gid, AtFlags::empty())?;
        }
        rustix::fs::chmodat(folder, ".", Mode::from_raw_mode(self.mode), AtFlags::empty())
    }

    /// Sets them on an open file, in the same order.
    pub(crate) fn apply_to_file(&self, file: &File) -> rustix::io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            let (uid, gid) = self.ids();
            rustix::fs::fchown(file, uid, gid)?;
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))
    }

    fn ids(&self) -> (Option<rustix::fs::Uid>, Option<rustix::fs::Gid>) {
        (self.uid.map(rustix::fs::Uid::from_raw), self.gid.map(rustix::fs::Gid::from_raw))
    }
}
