//! A change of the network on trial: what it replaced, durable before it is made, so that it is taken back also
//! by an agent that comes later.
//!
//! Which contents have been proven is remembered: going back to one of them needs no trial, and no control
//! plane in reach.
//! Not here: the change itself (see `network_config`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wavegate_proto::ids::Sha256Hash;

use super::durable::{self, Stored};
use super::error::{Doing as _, ResourceError};
use super::host::Host;

/// How many proven contents are remembered.
const MAX_PROVEN: usize = 16;

/// What was at a path before a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Replaced {
    /// Nothing of ours: what was there is kept as the path's original.
    Theirs,
    /// A file of ours with this content.
    Ours(String),
}

/// A change that has not been proven yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trial {
    /// What is tried.
    pub(super) content: String,
    /// What it replaced, by path.
    pub(super) replaced: BTreeMap<String, Replaced>,
}

/// The file `network.json` of the state folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NetworkRecord {
    schema_version: u32,
    /// Contents with which the control plane was in reach, the latest last.
    proven: Vec<String>,
    /// What is tried right now.
    pub(super) trial: Option<Trial>,
}

fn path(host: &Host) -> PathBuf {
    host.state_dir().join("network.json")
}

impl NetworkRecord {
    pub(super) fn read(host: &Host) -> Result<Self, ResourceError> {
        match durable::read_json(&path(host)).doing(ResourceError::io("read", "network.json"))? {
            Stored::Found(record) => Ok(record),
            Stored::Absent | Stored::Unreadable(_) => Ok(Self::default()),
        }
    }

    pub(super) fn is_proven(&self, content: &Sha256Hash) -> bool {
        self.proven.contains(&content.to_string())
    }

    /// A change is about to be made.
    pub(super) fn begin(host: &Host, trial: Trial) -> Result<(), ResourceError> {
        Self { trial: Some(trial), ..Self::read(host)? }.write(host)
    }

    /// The change has been proven, or was taken back.
    pub(super) fn end(host: &Host, proven: Option<&Sha256Hash>) -> Result<(), ResourceError> {
        let mut record = Self { trial: None, ..Self::read(host)? };
        if let Some(content) = proven.map(ToString::to_string) {
            record.proven.retain(|known| *known != content);
            record.proven.push(content);
            let surplus = record.proven.len().saturating_sub(MAX_PROVEN);
            record.proven.drain(..surplus);
        }
        record.write(host)
    }

    fn write(self, host: &Host) -> Result<(), ResourceError> {
        let record = Self { schema_version: 1, ..self };
        durable::write_json(host.steps(), &path(host), &record)
            .doing(ResourceError::io("write", "network.json"))
    }
}
