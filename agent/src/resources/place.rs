//! One name in one open folder: what is there, and how it is replaced or removed.
//!
//! A replacement is written beside its target under a name that depends only on the target's, so
//! that what a crash left behind is found and cleared by the next run.
//! Not here: what should be there, and what is kept of what was (see `original`).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use wavegate_proto::ids::Sha256Hash;

use super::error::{Doing as _, ResourceError};
use super::root::{Attributes, sync_folder};
use super::steps::{Step, Steps};

/// A name in an open folder.
#[derive(Debug)]
pub(crate) struct Place {
    path: String,
    folder: OwnedFd,
    name: OsString,
}

/// What is at a place.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// A regular file.
    File(Box<Stat>),
    /// A folder.
    Folder(Box<Stat>),
    /// A symbolic link.
    Link(Box<Stat>),
    /// A device, a socket or a pipe.
    Other,
}

impl Found {
    /// What it is, after "is".
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::File(_) => "a file",
            Self::Folder(_) => "a folder",
            Self::Link(_) => "a symbolic link",
            Self::Other => "neither file nor folder",
        }
    }
}

impl Place {
    pub(crate) fn new(path: String, folder: OwnedFd, name: OsString) -> Self {
        Self { path, folder, name }
    }

    /// The path as the bundle writes it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What is there now; a link is not followed.
    pub(crate) fn look(&self) -> Result<Found, ResourceError> {
        let stat = rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = match stat {
            Ok(stat) => Box::new(stat),
            Err(Errno::NOENT) => return Ok(Found::Absent),
            Err(error) => return Err(ResourceError::io("look at", &self.path).refused(error)),
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Found::File(stat),
            FileType::Directory => Found::Folder(stat),
            FileType::Symlink => Found::Link(stat),
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Found::Other,
        })
    }

    /// Opens the regular file that is there for reading.
    pub(crate) fn open_file(&self) -> Result<File, ResourceError> {
        let act = ResourceError::io("read", &self.path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(&self.folder, &self.name, flags, Mode::empty(), resolve);
        let file = File::from(opened.doing(act)?);
        if !file.metadata().doing(act)?.is_file() {
            return Err(self.unexpected("no longer a file"));
        }
        Ok(file)
    }

    /// Opens what is there, or makes a file; a link is not followed.
    pub(crate) fn open_with(&self, flags: OFlags, mode: Mode) -> Result<File, ResourceError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(&self.folder, &self.name, flags, mode, resolve);
        opened.map(File::from).doing(ResourceError::io("open", &self.path))
    }

    /// Where the link that is there points to.
    pub(crate) fn read_link(&self) -> Result<String, ResourceError> {
        let target = rustix::fs::readlinkat(&self.folder, &self.name, Vec::new())
            .doing(ResourceError::io("read the link", &self.path))?;
        target.into_string().map_err(|_| self.unexpected("a link to a name that is not UTF-8"))
    }

    /// The error for something that is left alone.
    pub(crate) fn unexpected(&self, found: &'static str) -> ResourceError {
        ResourceError::UnexpectedType { path: self.path.clone(), found }
    }

    /// Puts a file with this content and these attributes in place, in one step. On an error the old
    /// content is still there and no temporary file is.
    pub(crate) fn replace(
        &self,
        steps: &dyn Steps,
        content: &mut dyn Read,
        attributes: Attributes,
    ) -> Result<(), ResourceError> {
        self.clear_temporary(steps)?;
        let written = self.write_temporary(steps, content, attributes).and_then(|()| {
            steps.before(Step::Rename).doing(ResourceError::io("replace", &self.path))?;
            self.rename_temporary()
        });
        if let Err(error) = written {
            // The first error is the one to tell; a temporary file that stays is cleared next time.
            let _ = self.clear_temporary(steps);
            return Err(error);
        }
        self.sync()
    }

    fn write_temporary(
        &self,
        steps: &dyn Steps,
        content: &mut dyn Read,
        attributes: Attributes,
    ) -> Result<(), ResourceError> {
        let act = ResourceError::io("write", &self.path);
        steps.before(Step::CreateTemp).doing(act)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let opened = rustix::fs::openat(&self.folder, self.temporary(), flags, mode);
        let mut file = File::from(opened.doing(act)?);
        steps.before(Step::WriteTemp).doing(act)?;
        io::copy(content, &mut file).doing(act)?;
        steps.before(Step::SetAttributes).doing(act)?;
        attributes.apply_to_file(&file).doing(act)?;
        file.sync_all().doing(act)
    }

    /// Puts a symbolic link in place, in one step.
    pub(crate) fn replace_with_link(
        &self,
        steps: &dyn Steps,
        target: &str,
        (uid, gid): (u32, u32),
    ) -> Result<(), ResourceError> {
        let act = ResourceError::io("put back the link", &self.path);
        self.clear_temporary(steps)?;
        steps.before(Step::CreateTemp).doing(act)?;
        let temporary = self.temporary();
        rustix::fs::symlinkat(target, &self.folder, &temporary).doing(act)?;
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&self.folder, &temporary, Some(uid), Some(gid), flags).doing(act)?;
        steps.before(Step::Rename).doing(act)?;
        self.rename_temporary()?;
        self.sync()
    }

    fn rename_temporary(&self) -> Result<(), ResourceError> {
        rustix::fs::renameat(&self.folder, self.temporary(), &self.folder, &self.name)
            .doing(ResourceError::io("replace", &self.path))
    }

    /// Removes what an interrupted replacement left behind.
    pub(crate) fn clear_temporary(&self, steps: &dyn Steps) -> Result<(), ResourceError> {
        let act = ResourceError::io("clear the temporary file of", &self.path);
        let temporary = self.temporary();
        match rustix::fs::statat(&self.folder, &temporary, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(act.refused(errno)),
        }
        steps.before(Step::RemoveTemp).doing(act)?;
        let mut removed = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        if removed == Err(Errno::ISDIR) {
            removed = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::REMOVEDIR);
        }
        removed.doing(act)
    }

    /// Removes the file or link that is there.
    pub(crate) fn remove_file(&self, steps: &dyn Steps) -> Result<(), ResourceError> {
        let act = ResourceError::io("remove", &self.path);
        steps.before(Step::RemoveFile).doing(act)?;
        rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty()).doing(act)?;
        self.sync()
    }

    /// Removes the folder that is there if it is empty. `false`: it is not.
    pub(crate) fn remove_empty_folder(&self, steps: &dyn Steps) -> Result<bool, ResourceError> {
        let act = ResourceError::io("remove", &self.path);
        steps.before(Step::RemoveDirectory).doing(act)?;
        match rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(act.refused(errno)),
        }
    }

    /// Makes a folder with these attributes, in one step. One that has come meanwhile is kept.
    pub(crate) fn make_folder(
        &self,
        steps: &dyn Steps,
        attributes: Attributes,
    ) -> Result<(), ResourceError> {
        let act = ResourceError::io("make the folder", &self.path);
        self.clear_temporary(steps)?;
        steps.before(Step::MakeDirectory).doing(act)?;
        let temporary = self.temporary();
        rustix::fs::mkdirat(&self.folder, &temporary, Mode::RWXU).doing(act)?;
        steps.before(Step::SetAttributes).doing(act)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&self.folder, &temporary, flags, Mode::empty());
        made.and_then(|made| attributes.apply_to_folder(&made)).doing(act)?;
        steps.before(Step::Rename).doing(act)?;
        self.rename_temporary()?;
        self.sync()
    }

    fn sync(&self) -> Result<(), ResourceError> {
        sync_folder(&self.folder).doing(ResourceError::io("sync the folder of", &self.path))
    }

    fn temporary(&self) -> String {
        let hash = Sha256Hash::of(self.name.as_bytes()).to_string();
        format!(".wavegate-{}.tmp", &hash[..16])
    }
}
