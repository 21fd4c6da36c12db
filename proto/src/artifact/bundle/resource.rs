//! Resources: the things the agent keeps as they should be.
//!
//! A resource's keys stand beside `id` and `kind`, so a resource is read in two steps: the keys every
//! kind has, then the kind's own. A kind or key this build does not know is kept as
//! [`ResourceSpec::Unknown`] (version skew), never guessed.
//!
//! Not here: what a kind does (the agent).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::artifact::bundle::account::{AccountGroupSpec, UserSpec};
use crate::artifact::bundle::container::ContainerSpec;
use crate::artifact::bundle::dependency::Dependency;
use crate::artifact::bundle::directory::DirectorySpec;
use crate::artifact::bundle::file::FileSpec;
use crate::artifact::bundle::gate::HealthGate;
use crate::artifact::bundle::group::ResourceGroupSpec;
use crate::artifact::bundle::keys::{keys_of, missing, put, take};
use crate::artifact::bundle::network_config::NetworkConfigSpec;
use crate::artifact::bundle::package::PackageSpec;
use crate::artifact::bundle::shell_job::ShellJobSpec;
use crate::artifact::bundle::systemd_unit::SystemdUnitSpec;
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

impl Resource {
    /// What of this bundle must be completed before it; of a group, also before its members.
    pub fn needs_here(&self) -> impl Iterator<Item = &ResourceId> {
        let followed: &[ResourceId] = match &self.spec {
            ResourceSpec::SystemdUnit(unit) => &unit.restart_on,
            ResourceSpec::File(_)
            | ResourceSpec::Directory(_)
            | ResourceSpec::User(_)
            | ResourceSpec::AccountGroup(_)
            | ResourceSpec::ResourceGroup(_)
            | ResourceSpec::ShellJob(_)
            | ResourceSpec::Package(_)
            | ResourceSpec::Container(_)
            | ResourceSpec::NetworkConfig(_)
            | ResourceSpec::Unknown { .. } => &[],
        };
        let here = self.depends_on.iter().filter_map(|dependency| match dependency {
            Dependency::Here(id) => Some(id),
            Dependency::There { .. } => None,
        });
        here.chain(followed)
    }
}

/// A kind and its own keys.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceSpec {
    /// A file.
    File(FileSpec),
    /// A directory.
    Directory(DirectorySpec),
    /// An account.
    User(UserSpec),
    /// A group of accounts.
    AccountGroup(AccountGroupSpec),
    /// A group of resources.
    ResourceGroup(ResourceGroupSpec),
    /// A program that runs once.
    ShellJob(ShellJobSpec),
    /// A unit of systemd.
    SystemdUnit(SystemdUnitSpec),
    /// A package of the distribution.
    Package(PackageSpec),
    /// A container of Docker or Podman.
    Container(ContainerSpec),
    /// Files of systemd-networkd.
    NetworkConfig(NetworkConfigSpec),
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

/// Something of a host that a resource keeps as its own; no two resources of a bundle keep the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// Its path; for what is no path, its kind and name, such as `user:app`.
    pub name: String,
    /// What it is.
    pub kind: ResourceKind,
}

impl Holding {
    /// What is no path.
    #[must_use]
    pub fn named(kind: ResourceKind, name: &str) -> Self {
        Self { name: format!("{}:{name}", kind.as_str()), kind }
    }

    fn path(kind: ResourceKind, path: &str) -> Self {
        Self { name: path.to_owned(), kind }
    }
}

impl ResourceSpec {
    /// The kinds this build knows, as they are written.
    pub const KINDS: [&str; 9] = [
        "file",
        "directory",
        "user",
        "group",
        "shell-job",
        "systemd-unit",
        "package",
        "container",
        "network-config",
    ];

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::File(_) => ResourceKind::File,
            Self::Directory(_) => ResourceKind::Directory,
            Self::User(_) => ResourceKind::User,
            Self::AccountGroup(_) | Self::ResourceGroup(_) => ResourceKind::Group,
            Self::ShellJob(_) => ResourceKind::ShellJob,
            Self::SystemdUnit(_) => ResourceKind::SystemdUnit,
            Self::Package(_) => ResourceKind::Package,
            Self::Container(_) => ResourceKind::Container,
            Self::NetworkConfig(_) => ResourceKind::NetworkConfig,
            Self::Unknown { .. } => ResourceKind::Unknown,
        }
    }

    /// The kind as written.
    #[must_use]
    pub fn kind_str(&self) -> &str {
        if let Self::Unknown { kind, .. } = self { kind } else { self.kind().as_str() }
    }

    fn parse(kind: String, keys: Map<String, Value>) -> Self {
        let value = Value::Object(keys.clone());
        let parsed = match kind.as_str() {
            "file" => serde_json::from_value(value).map(Self::File),
            "directory" => serde_json::from_value(value).map(Self::Directory),
            "user" => serde_json::from_value(value).map(Self::User),
            // Two things are called group; only a group of resources has members.
            "group" if keys.contains_key("members") => {
                serde_json::from_value(value).map(Self::ResourceGroup)
            }
            "group" => serde_json::from_value(value).map(Self::AccountGroup),
            "shell-job" => serde_json::from_value(value).map(Self::ShellJob),
            "systemd-unit" => serde_json::from_value(value).map(Self::SystemdUnit),
            "package" => serde_json::from_value(value).map(Self::Package),
            "container" => serde_json::from_value(value).map(Self::Container),
            "network-config" => serde_json::from_value(value).map(Self::NetworkConfig),
            _ => return Self::Unknown { reason: format!("unknown kind {kind:?}"), kind, keys },
        };
        parsed.unwrap_or_else(|error| Self::Unknown { kind, reason: error.to_string(), keys })
    }

    fn to_keys<E: serde::ser::Error>(&self) -> Result<Map<String, Value>, E> {
        match self {
            Self::File(spec) => keys_of(spec),
            Self::Directory(spec) => keys_of(spec),
            Self::User(spec) => keys_of(spec),
            Self::AccountGroup(spec) => keys_of(spec),
            Self::ResourceGroup(spec) => keys_of(spec),
            Self::ShellJob(spec) => keys_of(spec),
            Self::SystemdUnit(spec) => keys_of(spec),
            Self::Package(spec) => keys_of(spec),
            Self::Container(spec) => keys_of(spec),
            Self::NetworkConfig(spec) => keys_of(spec),
            Self::Unknown { keys, .. } => Ok(keys.clone()),
        }
    }

    /// What of the host it keeps as its own.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        let kind = self.kind();
        match self {
            Self::File(spec) => vec![Holding::path(kind, &spec.path)],
            Self::Directory(spec) => vec![Holding::path(kind, &spec.path)],
            Self::User(spec) => vec![Holding::named(kind, &spec.name)],
            Self::AccountGroup(spec) => vec![Holding::named(kind, &spec.name)],
            Self::Package(spec) => vec![Holding::named(kind, &spec.name)],
            Self::Container(spec) => vec![Holding::named(kind, &spec.name)],
            // networkd reads all its files at once: there is one of this kind.
            Self::NetworkConfig(spec) => {
                let files = spec.paths().map(|(path, _)| Holding::path(ResourceKind::File, &path));
                [Holding::named(kind, "systemd-networkd")].into_iter().chain(files).collect()
            }
            Self::ShellJob(spec) => vec![Holding::named(kind, &spec.content().to_string())],
            Self::SystemdUnit(spec) => {
                let folder = (!spec.drop_ins.is_empty())
                    .then(|| Holding::path(ResourceKind::Directory, &spec.drop_in_folder()));
                let files = spec.files().map(|(path, _)| Holding::path(ResourceKind::File, &path));
                [Holding::named(kind, &spec.name)].into_iter().chain(folder).chain(files).collect()
            }
            Self::ResourceGroup(_) | Self::Unknown { .. } => Vec::new(),
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
        assert!(skew(&read(r#"{"id":"a","kind":"group"}"#)));
    }

    #[test]
    fn a_group_is_of_resources_when_it_has_members() {
        let read = |text: &str| serde_json::from_str::<Resource>(text).unwrap().spec;
        let accounts = read(r#"{"id":"a","kind":"group","name":"www"}"#);
        let resources = read(r#"{"id":"a","kind":"group","members":["b"]}"#);
        assert!(matches!(accounts, ResourceSpec::AccountGroup(_)), "{accounts:?}");
        assert!(matches!(resources, ResourceSpec::ResourceGroup(_)), "{resources:?}");
        assert_eq!((accounts.kind(), resources.kind()), (ResourceKind::Group, ResourceKind::Group));
    }

    #[test]
    fn a_resource_is_written_as_it_was_read() {
        let text = r#"{"content":"x","create_parents":true,"depends_on":["base",{"host":"db-1","resource":"pg"}],"id":"conf","kind":"file","mode":"0600","on_drift":"report","one_way":false,"path":"/etc/conf"}"#;
        let resource: Resource = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&resource).unwrap(), text);
    }
}
