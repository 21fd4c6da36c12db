//! Users and groups of this host by name, read from `/etc/passwd` and `/etc/group`.
//!
//! Under another `--root`, its accounts are asked first, then the machine's own: the ids end up in
//! inodes of this machine either way.
//! Not here: accounts from a directory service, which the agent does not ask.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ResourceError;

/// The ids of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
}

/// Where accounts are looked up. Read anew each time, so a user made a moment ago is found.
#[derive(Debug, Clone)]
pub struct Accounts {
    folders: Vec<PathBuf>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { folders: vec![PathBuf::from("/etc")] }
    }
}

impl Accounts {
    /// Those of `root`, then the machine's own.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let own = Self::default();
        let below = root.join("etc");
        if own.folders.contains(&below) {
            return own;
        }
        Self { folders: [vec![below], own.folders].concat() }
    }

    /// The user of this name.
    ///
    /// # Errors
    /// When this host has none.
    pub fn user(&self, name: &str) -> Result<User, ResourceError> {
        self.find("passwd", |fields| match fields {
            [found, _, uid, gid, ..] if *found == name => {
                Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
            }
            _ => None,
        })
        .ok_or_else(|| ResourceError::UnknownAccount { what: "user", name: name.to_owned() })
    }

    /// The id of the group of this name.
    ///
    /// # Errors
    /// When this host has none.
    pub fn group(&self, name: &str) -> Result<u32, ResourceError> {
        self.find("group", |fields| match fields {
            [found, _, gid, ..] if *found == name => gid.parse().ok(),
            _ => None,
        })
        .ok_or_else(|| ResourceError::UnknownAccount { what: "group", name: name.to_owned() })
    }

    /// The name of a user, or the number where there is none.
    #[must_use]
    pub fn user_name(&self, uid: u32) -> String {
        self.name_of("passwd", uid)
    }

    /// The name of a group, or the number where there is none.
    #[must_use]
    pub fn group_name(&self, gid: u32) -> String {
        self.name_of("group", gid)
    }

    fn name_of(&self, file: &str, id: u32) -> String {
        self.find(file, |fields| match fields {
            [name, _, found, ..] if found.parse() == Ok(id) => Some((*name).to_owned()),
            _ => None,
        })
        .unwrap_or_else(|| id.to_string())
    }

    fn find<T>(&self, file: &str, pick: impl Fn(&[&str]) -> Option<T>) -> Option<T> {
        self.folders.iter().find_map(|folder| {
            let text = fs::read_to_string(folder.join(file)).ok()?;
            text.lines().find_map(|line| pick(&line.split(':').collect::<Vec<_>>()))
        })
    }
}
