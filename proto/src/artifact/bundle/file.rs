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
    /// What a file of the host itself holds: a secret that never leaves it.
    HostFile(String),
}

impl FileContent {
    /// The asset, when there is one.
    #[must_use]
    pub fn asset(&self) -> Option<BlobId> {
        match self {
            Self::Inline(_) | Self::HostFile(_) => None,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_from: Option<ContentFrom>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default)]
    create_parents: bool,
}

/// Where content comes from that no release holds.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContentFrom {
    host_file: String,
}

/// The mode of a file that is written without one: what comes from a secret is one.
fn default_mode(content: &FileContent) -> String {
    match content {
        FileContent::Inline(_) | FileContent::Asset { .. } => "0644".to_owned(),
        FileContent::HostFile(_) => "0600".to_owned(),
    }
}

impl TryFrom<FileKeys> for FileSpec {
    type Error = String;

    fn try_from(keys: FileKeys) -> Result<Self, String> {
        let content = match (keys.content, keys.asset, keys.size) {
            (None, None, None) if keys.content_from.is_some() => {
                let from = keys.content_from.map(|from| from.host_file).unwrap_or_default();
                check_path(&from)?;
                FileContent::HostFile(from)
            }
            (_, _, _) if keys.content_from.is_some() => {
                return Err("content_from stands alone".to_owned());
            }
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
        let mode = keys.mode.unwrap_or_else(|| default_mode(&content));
        parse_mode(&mode)?;
        Ok(Self {
            path: keys.path,
            content,
            mode,
            owner: keys.owner,
            group: keys.group,
            create_parents: keys.create_parents,
        })
    }
}

impl From<FileSpec> for FileKeys {
    fn from(spec: FileSpec) -> Self {
        let (content, asset, size, content_from) = match spec.content {
            FileContent::Inline(content) => (Some(content), None, None, None),
            FileContent::Asset { asset, size } => (None, Some(asset), Some(size), None),
            FileContent::HostFile(host_file) => (None, None, None, Some(ContentFrom { host_file })),
        };
        Self {
            path: spec.path,
            content,
            asset,
            size,
            content_from,
            mode: Some(spec.mode),
            owner: spec.owner,
            group: spec.group,
            create_parents: spec.create_parents,
        }
    }
}
