//! The status of a resource, in one vocabulary for agent, API and CLI.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// An account.
    User,
    /// A group of accounts, or of resources.
    Group,
    /// A program that runs once.
    ShellJob,
    /// A unit of systemd.
    SystemdUnit,
    /// A package of the distribution.
    Package,
    /// A container of Docker or Podman.
    Container,
    /// Files of systemd-networkd.
    NetworkConfig,
    /// A kind this build does not know: version skew.
    #[serde(other)]
    Unknown,
}

impl ResourceKind {
    /// The kind as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::User => "user",
            Self::Group => "group",
            Self::ShellJob => "shell-job",
            Self::SystemdUnit => "systemd-unit",
            Self::Package => "package",
            Self::Container => "container",
            Self::NetworkConfig => "network-config",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceState {
    /// Not started.
    Pending,
    /// Being worked on.
    Running,
    /// As it should be, gate passed.
    Completed,
    /// Failed.
    Failed,
    /// Held by an unfinished dependency.
    Blocked,
    /// Of a kind this agent does not know, or not observed yet.
    Unknown,
}

/// What was or is being done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// It was not there.
    Create,
    /// It differed.
    Update,
    /// It is no longer wanted.
    Delete,
    /// It was as it should be.
    None,
}

/// What a pass decided for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Completed before; nothing to do.
    Skip,
    /// To be done.
    Run,
    /// To be done again.
    Rerun,
    /// Waits for a dependency.
    Blocked,
}

/// How a resource differs from what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// It does not.
    Ok,
    /// It is gone.
    Missing,
    /// It differs.
    Changed,
    /// It is ours, but no longer wanted.
    Orphaned,
}

/// On whose behalf something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub identity: String,
    /// Through what.
    pub source: ActorSource,
}

/// Through what something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorSource {
    /// Activation of a release.
    Release,
    /// A reconcile by hand.
    Reconcile,
    /// Drift correction.
    Drift,
    /// An operator.
    Operator,
    /// Import of older state.
    Import,
}

/// One entry of a resource's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLogEntry {
    /// When.
    pub ts: Timestamp,
    /// What: `started`, `completed`, `failed`, `blocked-by:X`, `reset`, `drift-detected`,
    /// `drift-corrected`, `deleted`, `imported`.
    pub event: String,
    /// Through what.
    pub source: ActorSource,
}

/// The status of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Where it is.
    pub status: ResourceState,
    /// Since when.
    pub since: Timestamp,
    /// What was done last.
    pub operation: Operation,
    /// The bundle's free label.
    #[serde(default)]
    pub profile: String,
    /// On whose behalf.
    pub actor: Actor,
    /// When the last run started.
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    pub ended_at: Option<Timestamp>,
    /// The first unfinished dependency.
    pub blocker: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it will be tried again.
    pub retry_after: Option<Timestamp>,
    /// What the last pass decided.
    pub decision: Decision,
    /// How it differs.
    pub drift: Option<Drift>,
    /// Details by kind.
    #[serde(default)]
    pub detail: serde_json::Value,
    /// The last 50 entries; left out in events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<ResourceLogEntry>,
}

/// The most entries a resource's log keeps.
pub const MAX_RESOURCE_LOG: usize = 50;
