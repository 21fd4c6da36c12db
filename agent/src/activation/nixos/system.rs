//! The system as its links show it: what runs, what was booted, what boots next.
//!
//! Not here: changing any of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::ClosureId;

use super::super::backend::Failure;

/// How many links a profile may consist of.
const MAX_LINKS: usize = 8;

/// A closure that is a store path (G28: nothing but one name below `/nix/store`, and no recipe).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ClosureId", into = "ClosureId")]
pub(super) struct StorePath(ClosureId);

impl StorePath {
    /// The store path of `closure`.
    pub(super) fn of(closure: &ClosureId) -> Result<Self, Failure> {
        Self::try_from(closure.clone()).map_err(|detail| Failure {
            class: FailureClass::Policy,
            reason: "unsupported-backend".to_owned(),
            detail,
            exit_code: None,
        })
    }

    /// The 32 characters that tell it from every other.
    pub(super) fn hash(&self) -> String {
        self.to_string().chars().skip("/nix/store/".len()).take(32).collect()
    }
}

impl TryFrom<ClosureId> for StorePath {
    type Error = String;

    fn try_from(closure: ClosureId) -> Result<Self, String> {
        match &closure {
            // Realising a recipe would build it here.
            ClosureId::StorePath(path) if path.ends_with(".drv") => {
                Err(format!("{path} is a recipe, not a system"))
            }
            ClosureId::StorePath(_) => Ok(Self(closure)),
            ClosureId::Bundle(_) => Err(format!("{closure} is a bundle, and this is NixOS")),
        }
    }
}

impl From<StorePath> for ClosureId {
    fn from(path: StorePath) -> Self {
        path.0
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The system below a root.
#[derive(Debug)]
pub(super) struct System {
    root: PathBuf,
}

impl System {
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where an absolute path of the system is.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The profile that the boot loader's entries are made from.
    pub(super) fn profile_link(&self) -> PathBuf {
        self.place("/nix/var/nix/profiles/system")
    }

    /// The system that runs.
    pub(super) fn current(&self) -> io::Result<StorePath> {
        let link = self.place("/run/current-system");
        self.target(&link)?.ok_or_else(|| {
            let text = format!("{} is not there: this is no NixOS system", link.display());
            io::Error::new(io::ErrorKind::NotFound, text)
        })
    }

    /// The system that was booted; where that is not known, the one that runs.
    pub(super) fn booted(&self) -> io::Result<StorePath> {
        match self.target(&self.place("/run/booted-system"))? {
            Some(path) => Ok(path),
            None => self.current(),
        }
    }

    /// The system that boots next.
    pub(super) fn profile(&self) -> io::Result<Option<StorePath>> {
        self.target(&self.profile_link())
    }

    /// Follows links to a name in the store.
    fn target(&self, link: &Path) -> io::Result<Option<StorePath>> {
        let mut link = link.to_owned();
        for _ in 0..MAX_LINKS {
            let target = match std::fs::read_link(&link) {
                Ok(target) => target,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let closure = target.to_str().and_then(|text| text.parse::<ClosureId>().ok());
            if let Some(path) = closure.and_then(|closure| StorePath::try_from(closure).ok()) {
                return Ok(Some(path));
            }
            link = match target.to_str() {
                Some(text) if target.is_absolute() => self.place(text),
                Some(_) | None => link.with_file_name("").join(&target),
            };
        }
        let text = format!("{} does not lead to a store path", link.display());
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// The program of a system that switches to it.
    pub(super) fn switch_program(&self, system: &StorePath) -> PathBuf {
        self.place(&format!("{system}/bin/switch-to-configuration"))
    }

    /// Refuses what is no system at all.
    pub(super) fn require_system(&self, path: &StorePath) -> Result<(), Failure> {
        if self.switch_program(path).is_file() {
            return Ok(());
        }
        Err(Failure {
            class: FailureClass::Artifact,
            reason: "not-a-system".to_owned(),
            detail: format!("{path} has no bin/switch-to-configuration"),
            exit_code: None,
        })
    }
}
