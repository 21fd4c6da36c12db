//! `passwd`, `shadow`, `group` and `gshadow` below the root: reading lines, and changing single ones.
//!
//! Every other line stays byte for byte as it is, and each file is replaced whole, by rename, under the
//! lock that the host's own tools take (`lckpwdf`). `shadow` and `gshadow` may be missing.
//! Not here: what should stand in a line (see `user`, `account_group`).

use std::fs::File;
use std::io::Read as _;
use std::sync::{MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::error::{Doing as _, ResourceError};
use super::host::Host;
use super::place::{Found, Place};
use super::root::Attributes;

/// The file whose lock serialises changes of accounts.
const LOCK_FILE: &str = "/etc/.pwd.lock";

/// Larger than the files of any host with its accounts in files.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Keeps everybody else from changing accounts.
pub(crate) struct AccountLock<'a> {
    _file: File,
    _here: MutexGuard<'a, ()>,
}

impl<'a> AccountLock<'a> {
    /// Takes the lock. One that somebody else holds is an error that may be tried again.
    pub(crate) fn take(host: &'a Host) -> Result<Self, ResourceError> {
        let act = ResourceError::io("lock", LOCK_FILE);
        let here = host.changing_accounts().lock().unwrap_or_else(PoisonError::into_inner);
        let place = host.root().place(LOCK_FILE)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = place.open_with(OFlags::WRONLY | OFlags::CREATE, mode)?;
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).doing(act)?;
        Ok(Self { _file: file, _here: here })
    }
}

/// One of the files.
#[derive(Debug)]
pub(crate) struct Table {
    place: Place,
    attributes: Attributes,
    text: String,
    is_changed: bool,
}

impl Table {
    /// Reads one of the files; `None`: there is none.
    pub(crate) fn read(host: &Host, path: &str) -> Result<Option<Self>, ResourceError> {
        let place = match host.root().place(path) {
            Ok(place) => place,
            Err(ResourceError::ParentMissing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = match place.look()? {
            Found::Absent => return Ok(None),
            Found::File(stat) => stat,
            other @ (Found::Folder(_) | Found::Link(_) | Found::Other) => {
                return Err(place.unexpected(other.describe()));
            }
        };
        let mut text = String::new();
        let file = place.open_file()?;
        file.take(MAX_FILE_BYTES)
            .read_to_string(&mut text)
            .doing(ResourceError::io("read", path))?;
        let mode = stat.st_mode & 0o7777;
        let attributes = Attributes { mode, uid: Some(stat.st_uid), gid: Some(stat.st_gid) };
        Ok(Some(Self { place, attributes, text, is_changed: false }))
    }

    /// Reads a file that must be there.
    pub(crate) fn required(host: &Host, path: &str) -> Result<Self, ResourceError> {
        let missing = || ResourceError::NoAccountFile { path: path.to_owned() };
        Self::read(host, path)?.ok_or_else(missing)
    }

    /// The fields of every line.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<&str>> {
        self.text.lines().map(|line| line.split(':').collect())
    }

    /// The fields of the line of `name`.
    pub(crate) fn row(&self, name: &str) -> Option<Vec<&str>> {
        self.rows().find(|fields| fields[0] == name)
    }

    /// Replaces, adds or (with `None`) removes the line of `name`.
    pub(crate) fn set(&mut self, name: &str, line: Option<&str>) {
        let is_its = |old: &str| old.split(':').next() == Some(name);
        let mut text = String::with_capacity(self.text.len() + 128);
        let mut left = line;
        for old in self.text.split_inclusive('\n') {
            if !is_its(old.trim_end_matches('\n')) {
                text.push_str(old);
            } else if let Some(line) = left.take() {
                text.push_str(line);
                text.push('\n');
            }
        }
        if let Some(line) = left {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(line);
            text.push('\n');
        }
        self.is_changed |= text != self.text;
        self.text = text;
    }

    /// The numbers in one column.
    pub(crate) fn ids(&self, column: usize) -> impl Iterator<Item = u32> {
        self.rows().filter_map(move |fields| fields.get(column)?.parse().ok())
    }

    /// Writes the file, if anything in it was changed. Whether it was.
    pub(crate) fn write(self, host: &Host) -> Result<bool, ResourceError> {
        if self.is_changed {
            let mut content = self.text.as_bytes();
            host.change(|| self.place.replace(host.steps(), &mut content, self.attributes))?;
        } else {
            self.place.clear_temporary(host.steps())?;
        }
        Ok(self.is_changed)
    }
}

/// The four files, to be changed together.
pub(crate) struct AccountFiles {
    pub(crate) passwd: Table,
    pub(crate) shadow: Option<Table>,
    pub(crate) group: Table,
    pub(crate) gshadow: Option<Table>,
}

impl AccountFiles {
    pub(crate) fn read(host: &Host) -> Result<Self, ResourceError> {
        Ok(Self {
            passwd: Table::required(host, "/etc/passwd")?,
            shadow: Table::read(host, "/etc/shadow")?,
            group: Table::required(host, "/etc/group")?,
            gshadow: Table::read(host, "/etc/gshadow")?,
        })
    }

    /// Whether anything is to be written.
    pub(crate) fn is_changed(&self) -> bool {
        let tables = [self.shadow.as_ref(), self.gshadow.as_ref()].into_iter().flatten();
        tables.chain([&self.passwd, &self.group]).any(|table| table.is_changed)
    }

    /// Writes what was changed: groups first, so that no user is there before its group. Whether
    /// anything was.
    pub(crate) fn write(self, host: &Host) -> Result<bool, ResourceError> {
        let mut changed = self.group.write(host)?;
        for table in [self.gshadow, Some(self.passwd), self.shadow].into_iter().flatten() {
            changed |= table.write(host)?;
        }
        Ok(changed)
    }

    /// The supplementary groups of a user, sorted.
    pub(crate) fn groups_of(&self, user: &str) -> Vec<String> {
        let holds = |fields: &Vec<&str>| members(fields).any(|member| member == user);
        let mut names: Vec<String> =
            self.group.rows().filter(holds).map(|fields| fields[0].to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Makes `user` a member of exactly these groups.
    pub(crate) fn set_groups(&mut self, user: &str, wanted: &[String]) {
        for table in [Some(&mut self.group), self.gshadow.as_mut()].into_iter().flatten() {
            let mut changes = Vec::new();
            for fields in table.rows().filter(|fields| fields.len() == 4) {
                let is_member = members(&fields).any(|member| member == user);
                let should_be = wanted.iter().any(|name| name == fields[0]);
                let mut list: Vec<&str> = members(&fields).filter(|m| *m != user).collect();
                if should_be {
                    list.push(user);
                }
                if is_member != should_be {
                    let line = format!("{}:{}", fields[..3].join(":"), list.join(","));
                    changes.push((fields[0].to_owned(), line));
                }
            }
            for (name, line) in changes {
                table.set(&name, Some(&line));
            }
        }
    }

    /// Adds a group without members.
    pub(crate) fn add_group(&mut self, name: &str, gid: u32) {
        self.group.set(name, Some(&format!("{name}:x:{gid}:")));
        if let Some(gshadow) = &mut self.gshadow
            && gshadow.row(name).is_none()
        {
            gshadow.set(name, Some(&format!("{name}:!*::")));
        }
    }

    /// Removes a group.
    pub(crate) fn remove_group(&mut self, name: &str) {
        self.group.set(name, None);
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.set(name, None);
        }
    }

    /// The id of a group.
    pub(crate) fn gid(&self, name: &str) -> Option<u32> {
        self.group.row(name)?.get(2)?.parse().ok()
    }

    /// Whether a group is the primary one of any user.
    pub(crate) fn is_primary(&self, gid: u32) -> bool {
        self.passwd.ids(3).any(|id| id == gid)
    }
}

/// The members that stand in the last field of a line of `group` or `gshadow`.
fn members<'a>(fields: &[&'a str]) -> impl Iterator<Item = &'a str> + use<'a> {
    let last = fields.get(3).copied().unwrap_or_default();
    last.split(',').filter(|member| !member.is_empty())
}

/// The highest id for accounts of the system that `taken` does not hold.
pub(crate) fn free_id(taken: impl Fn(u32) -> bool) -> Option<u32> {
    (100..1000).rev().find(|id| !taken(*id))
}
