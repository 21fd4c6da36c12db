//! The state file of the older system, as far as it is read: which servers there are, and their ids with
//! the provider.
//!
//! ```text
//! {"cluster":"…","timestamp":"…","version":"…","state":{"servers":{HOST:PROVIDER_ID, …}, …}}
//! ```
//!
//! Not here: what becomes of it (see [`super`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use wavegate_proto::ids::{HostName, ProviderId};

use crate::fleet_toml::source::{FileError, FileErrors};

/// The largest state file that is read, in bytes.
pub const MAX_STATE_BYTES: u64 = 16 * 1024 * 1024;

const SHAPE: &str = "it looks like {\"cluster\",\"timestamp\",\"version\",\"state\":{\"servers\":{HOST:PROVIDER_ID}}}";

/// What is taken from a state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrvngState {
    /// The name of the cluster.
    pub cluster: String,
    /// When it was written, as it is written there.
    pub timestamp: String,
    /// The servers, by their ids with the provider.
    pub servers: BTreeMap<HostName, ProviderId>,
    /// The other sections of the state, which are not taken.
    pub other_sections: Vec<String>,
}

impl PrvngState {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is larger than [`MAX_STATE_BYTES`], or has another shape; with every name
    /// and id that cannot be taken.
    pub fn read(path: &Path) -> Result<Self, FileErrors> {
        let unreadable = |error: &std::io::Error| FileError::unreadable(path, error);
        let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_STATE_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&error))?;
        Self::parse(path, &bytes)
    }

    /// Reads the content of the file at `path`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, FileErrors> {
        let complain = |line, message| FileError {
            path: path.to_owned(),
            line,
            message,
            hint: Some(SHAPE.to_owned()),
        };
        if bytes.len() as u64 > MAX_STATE_BYTES {
            let mib = MAX_STATE_BYTES / 1024 / 1024;
            return Err(complain(None, format!("is larger than {mib} MiB")).into());
        }
        let file: StateFile = serde_json::from_slice(bytes).map_err(|error| {
            let line = Some(error.line()).filter(|line| *line > 0);
            complain(line, format!("not a prvng state file: {error}"))
        })?;
        let mut servers = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, id) in file.state.servers.0 {
            match server(&name, &id) {
                Ok((name, id)) => {
                    if servers.insert(name.clone(), id).is_some() {
                        errors.push(complain(None, format!("server {name} stands there twice")));
                    }
                }
                Err(message) => errors.push(complain(None, message)),
            }
        }
        for error in &mut errors {
            error.hint = None;
        }
        if !errors.is_empty() {
            return Err(FileErrors(errors));
        }
        Ok(Self {
            cluster: file.cluster,
            timestamp: file.timestamp.0,
            servers,
            other_sections: file.state.other,
        })
    }
}

fn server(name: &str, id: &Value) -> Result<(HostName, ProviderId), String> {
    let host = HostName::new(name).map_err(|error| error.to_string())?;
    let text = match id {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err(format!("server {host}: its provider id is no text"));
        }
    };
    match ProviderId::new(&text) {
        Ok(id) => Ok((host, id)),
        Err(error) => Err(format!("server {host}: {error}")),
    }
}

#[derive(serde::Deserialize)]
struct StateFile {
    cluster: String,
    timestamp: Scalar,
    #[serde(rename = "version")]
    _version: Scalar,
    state: Sections,
}

/// A text or a number.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(serde::de::Error::custom("expected a text or a number"))
            }
        }
    }
}

/// `state`: one section is read, the others are named.
struct Sections {
    servers: Servers,
    other: Vec<String>,
}

impl<'de> Deserialize<'de> for Sections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Known;
        impl<'de> Visitor<'de> for Known {
            type Value = Sections;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("sections, `servers` among them")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Sections, M::Error> {
                use serde::de::Error as _;
                let (mut servers, mut other) = (None, Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name != "servers" {
                        map.next_value::<IgnoredAny>()?;
                        other.push(name);
                    } else if servers.replace(map.next_value()?).is_some() {
                        return Err(M::Error::duplicate_field("servers"));
                    }
                }
                let servers = servers.ok_or_else(|| M::Error::missing_field("state.servers"))?;
                Ok(Sections { servers, other })
            }
        }
        deserializer.deserialize_map(Known)
    }
}

/// Every server as it is written: one that stands there twice is seen twice.
struct Servers(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;
        impl<'de> Visitor<'de> for AsWritten {
            type Value = Servers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("servers by name, each with its provider id")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Servers, M::Error> {
                let mut servers = Vec::new();
                while let Some(server) = map.next_entry()? {
                    servers.push(server);
                }
                Ok(Servers(servers))
            }
        }
        deserializer.deserialize_map(AsWritten)
    }
}
