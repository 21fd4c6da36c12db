//! What of a system cannot be changed while it runs.
//!
//! Not here: everything else, which a switch changes.

use std::io;
use std::path::{Path, PathBuf};

use super::system::{StorePath, System};
use crate::resources::error::{Doing as _, ResourceError};

/// What a component is compared with.
#[derive(Debug, Clone, Copy)]
enum With {
    /// It was loaded when the machine came up.
    Booted,
    /// It was changed by switches since.
    Current,
}

/// The link or file of a system that stands for each component.
const COMPONENTS: [(&str, With, &str); 5] = [
    ("kernel", With::Booted, "kernel"),
    ("initrd", With::Booted, "initrd"),
    ("systemd", With::Current, "systemd"),
    ("init", With::Current, "init-interface-version"),
    ("dbus", With::Current, "etc/systemd/system/dbus.service"),
];

/// The first critical component in which `target` differs from what runs; `None`: it may be switched to.
pub(super) fn first_changed(
    system: &System,
    target: &StorePath,
) -> Result<Option<&'static str>, ResourceError> {
    let act = ResourceError::io("compare", "the critical components");
    let booted = system.booted().doing(act)?;
    let current = system.current().doing(act)?;
    for (component, with, path) in COMPONENTS {
        let runs = match with {
            With::Booted => &booted,
            With::Current => &current,
        };
        let of = |store: &StorePath| Mark::of(component, &system.place(&format!("{store}/{path}")));
        if of(runs).doing(act)? != of(target).doing(act)? {
            return Ok(Some(component));
        }
    }
    Ok(None)
}

/// What tells one version of a component from another.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    /// A container has no kernel of its own.
    Absent,
    Link(PathBuf),
    Text(Vec<u8>),
}

impl Mark {
    fn of(component: &str, path: &Path) -> io::Result<Self> {
        match std::fs::read_link(path) {
            // Of dbus the implementation counts, which the unit's name tells; its path changes always.
            Ok(target) if component == "dbus" => {
                Ok(Self::Link(target.file_name().map_or_else(PathBuf::new, PathBuf::from)))
            }
            Ok(target) => Ok(Self::Link(target)),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                std::fs::read(path).map(Self::Text)
            }
            Err(error) if is_absent(&error) => Ok(Self::Absent),
            Err(error) => Err(error),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
