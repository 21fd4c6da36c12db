//! What must be completed before a resource.
//!
//! Not here: waiting for it (the agent), the order of resources (see [`super::Bundle::parse`]).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::ids::{HostName, ResourceId};

/// What must be completed before a resource: an id of this bundle, or a resource of another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependency {
    /// In this bundle.
    Here(ResourceId),
    /// On another host.
    There {
        /// The host.
        host: HostName,
        /// Its resource.
        resource: ResourceId,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoteDependency {
    host: HostName,
    resource: ResourceId,
}

impl Serialize for Dependency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Here(id) => id.serialize(serializer),
            Self::There { host, resource } => {
                RemoteDependency { host: host.clone(), resource: resource.clone() }
                    .serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Dependency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let error = serde::de::Error::custom;
        if value.is_string() {
            return serde_json::from_value(value).map(Self::Here).map_err(error);
        }
        let RemoteDependency { host, resource } = serde_json::from_value(value).map_err(error)?;
        Ok(Self::There { host, resource })
    }
}
