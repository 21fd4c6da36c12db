//! `kind = "directory"`.
//!
//! Not here: making directories (the agent).

use serde::{Deserialize, Serialize};

use crate::artifact::bundle::path::{check_path, parse_mode};

/// `kind = "directory"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "DirectoryKeys", into = "DirectoryKeys")]
pub struct DirectorySpec {
    /// Absolute, without `..`.
    pub path: String,
    /// Permission bits, octal, such as `0755`.
    pub mode: String,
    /// The owner's name; left alone when absent.
    pub owner: Option<String>,
    /// The group's name; left alone when absent.
    pub group: Option<String>,
}

/// The keys of a directory as they are written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectoryKeys {
    path: String,
    #[serde(default = "default_directory_mode")]
    mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}

fn default_directory_mode() -> String {
    "0755".to_owned()
}

impl TryFrom<DirectoryKeys> for DirectorySpec {
    type Error = String;

    fn try_from(keys: DirectoryKeys) -> Result<Self, String> {
        check_path(&keys.path)?;
        parse_mode(&keys.mode)?;
        Ok(Self { path: keys.path, mode: keys.mode, owner: keys.owner, group: keys.group })
    }
}

impl From<DirectorySpec> for DirectoryKeys {
    fn from(spec: DirectorySpec) -> Self {
        Self { path: spec.path, mode: spec.mode, owner: spec.owner, group: spec.group }
    }
}
