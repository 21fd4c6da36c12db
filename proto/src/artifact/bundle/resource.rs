//! Resources: the things the agent keeps as they should be.
//!
//! A resource's keys stand beside `id` and `kind`, so a resource is read in two steps: the keys every
//! kind has, then the kind's own. A kind or key this build does not know is kept as
//! [`ResourceSpec::Unknown`] (version skew), never guessed.
//!
//! Not here: what a kind does (the agent).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::artifact::bundle::dependency::Dependency;
use crate::artifact::bundle::directory::DirectorySpec;
use crate::artifact::bundle::file::FileSpec;
use crate::artifact::bundle::gate::HealthGate;
use crate::artifact::bundle::keys::{keys_of, missing, put, take};
use crate::ids::ResourceId;
use crate::wire::resource::ResourceKind;

/// One thing the agent keeps as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its name, unique in the bundle.
    pub id: ResourceId,
    /// What must be completed before it.
    pub depends_on: Vec<Dependency>,
    /// What must pass before dependents start.
    pub health_gate: Option<HealthGate>,
    /// What to do when it drifts.
    pub on_drift: OnDrift,
    /// Whether going back past it is refused.
    pub one_way: bool,
    /// The kind and its own keys.
    pub spec: ResourceSpec,
}

/// A kind and its own keys.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceSpec {
    /// A file.
    File(FileSpec),
    /// A directory.
    Directory(DirectorySpec),
    /// A kind, or a key of a known kind, that this build does not know.
    Unknown {
        /// The kind as written.
        kind: String,
        /// What is not known about it.
        reason: String,
        /// The keys as written.
        keys: Map<String, Value>,
    },
}

impl ResourceSpec {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::File(_) => ResourceKind::File,
            Self::Directory(_) => ResourceKind::Directory,
            Self::Unknown { .. } => ResourceKind::Unknown,
        }
    }

    /// The kind as written.
    #[must_use]
    pub fn kind_str(&self) -> &str {
        match self {
            Self::Unknown { kind, .. } => kind,
            Self::File(_) | Self::Directory(_) => self.kind().as_str(),
        }
    }

    fn parse(kind: String, keys: Map<String, Value>) -> Self {
        let value = Value::Object(keys.clone());
        let parsed = match kind.as_str() {
            "file" => serde_json::from_value(value).map(Self::File),
            "directory" => serde_json::from_value(value).map(Self::Directory),
            _ => return Self::Unknown { reason: format!("unknown kind {kind:?}"), kind, keys },
        };
        parsed.unwrap_or_else(|error| Self::Unknown { kind, reason: error.to_string(), keys })
    }

    fn to_keys<E: serde::ser::Error>(&self) -> Result<Map<String, Value>, E> {
        match self {
            Self::File(spec) => keys_of(spec),
            Self::Directory(spec) => keys_of(spec),
            Self::Unknown { keys, .. } => Ok(keys.clone()),
        }
    }

    /// The path it owns.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File(spec) => Some(&spec.path),
            Self::Directory(spec) => Some(&spec.path),
            Self::Unknown { .. } => None,
        }
    }
}

/// The kind's own keys beside the common ones.
impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = self.spec.to_keys()?;
        put(&mut keys, "id", &self.id)?;
        put(&mut keys, "kind", self.spec.kind_str())?;
        put(&mut keys, "depends_on", &self.depends_on)?;
        put(&mut keys, "on_drift", &self.on_drift)?;
        put(&mut keys, "one_way", &self.one_way)?;
        if let Some(gate) = &self.health_gate {
            put(&mut keys, "health_gate", gate)?;
        }
        keys.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = Map::deserialize(deserializer)?;
        let kind = take(&mut keys, "kind")?.ok_or_else(|| missing("kind"))?;
        Ok(Self {
            id: take(&mut keys, "id")?.ok_or_else(|| missing("id"))?,
            depends_on: take(&mut keys, "depends_on")?.unwrap_or_default(),
            health_gate: take(&mut keys, "health_gate")?,
            on_drift: take(&mut keys, "on_drift")?.unwrap_or(OnDrift::Correct),
            one_way: take(&mut keys, "one_way")?.unwrap_or(false),
            spec: ResourceSpec::parse(kind, keys),
        })
    }
}

/// What to do when a resource drifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrift {
    /// Put it right.
    Correct,
    /// Report it.
    Report,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_or_key_is_version_skew_not_an_error() {
        let read = |text: &str| serde_json::from_str::<Resource>(text).unwrap().spec;
        let skew = |spec: &ResourceSpec| matches!(spec, ResourceSpec::Unknown { .. });
        assert!(skew(&read(r#"{"id":"a","kind":"teapot","spout":1}"#)));
        assert!(skew(&read(r#"{"id":"a","kind":"directory","path":"/a","sticky":true}"#)));
        assert!(!skew(&read(r#"{"id":"a","kind":"directory","path":"/a"}"#)));
    }

    #[test]
    fn a_resource_is_written_as_it_was_read() {
        let text = r#"{"content":"x","create_parents":true,"depends_on":["base",{"host":"db-1","resource":"pg"}],"id":"conf","kind":"file","mode":"0600","on_drift":"report","one_way":false,"path":"/etc/conf"}"#;
        let resource: Resource = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&resource).unwrap(), text);
    }
}
