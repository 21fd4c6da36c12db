//! `kind = "file"`.
//!
//! Not here: writing files (the agent).

use serde::{Deserialize, Serialize};

use crate::artifact::bundle::path::{check_path, parse_mode};
use crate::ids::BlobId;

/// The most bytes of content written into the document itself; more becomes an asset.
pub const MAX_INLINE_CONTENT_BYTES: usize = 64 * 1024;

/// `kind = "file"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "FileKeys", into = "FileKeys")]
pub struct FileSpec {
    /// Absolute, without `..`.
    pub path: String,
    /// What it holds.
    pub content: FileContent,
    /// Permission bits, octal, such as `0644`.
    pub mode: String,
    /// The owner's name; left alone when absent.
    pub owner: Option<String>,
    /// The group's name; left alone when absent.
    pub group: Option<String>,
    /// Whether missing parents are created.
    pub create_parents: bool,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// Written in the bundle.
    Inline(String),
    /// An asset of the release.
    Asset {
        /// Its hash.
        asset: BlobId,
        /// Its size in bytes.
        size: u64,
    },
}

impl FileContent {
    /// The asset, when there is one.
    #[must_use]
    pub fn asset(&self) -> Option<BlobId> {
        match self {
            Self::Inline(_) => None,
            Self::Asset { asset, .. } => Some(*asset),
        }
    }
}

/// The keys of a file as they are written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKeys {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asset: Option<BlobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default = "default_file_mode")]
    mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default)]
    create_parents: bool,
}

fn default_file_mode() -> String {
    "0644".to_owned()
}

impl TryFrom<FileKeys> for FileSpec {
    type Error = String;

    fn try_from(keys: FileKeys) -> Result<Self, String> {
        let content = match (keys.content, keys.asset, keys.size) {
            (Some(content), None, None) if content.len() <= MAX_INLINE_CONTENT_BYTES => {
                FileContent::Inline(content)
            }
            (Some(_), None, None) => {
                return Err(format!(
                    "content above {MAX_INLINE_CONTENT_BYTES} bytes must be an asset"
                ));
            }
            (None, Some(asset), Some(size)) => FileContent::Asset { asset, size },
            (_, _, _) => return Err("needs either `content`, or `asset` and `size`".to_owned()),
        };
        check_path(&keys.path)?;
        parse_mode(&keys.mode)?;
        Ok(Self {
            path: keys.path,
            content,
            mode: keys.mode,
            owner: keys.owner,
            group: keys.group,
            create_parents: keys.create_parents,
        })
    }
}

impl From<FileSpec> for FileKeys {
    fn from(spec: FileSpec) -> Self {
        let (content, asset, size) = match spec.content {
            FileContent::Inline(content) => (Some(content), None, None),
            FileContent::Asset { asset, size } => (None, Some(asset), Some(size)),
        };
        Self {
            path: spec.path,
            content,
            asset,
            size,
            mode: spec.mode,
            owner: spec.owner,
            group: spec.group,
            create_parents: spec.create_parents,
        }
    }
}
