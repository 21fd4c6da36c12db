//! The document behind a `sha256:` closure: resources, their order, their gates and the probes.
//!
//! `closures/sha256-<hex>.json` holds the JCS bytes of the document, and `<hex>` is their hash. As
//! written by people it is TOML, with durations and files; `release build` turns that into this.
//!
//! Not here: how people write bundles (the CLI), what a kind does (the agent).

mod account;
mod check;
mod container;
mod dependency;
mod directory;
mod file;
mod gate;
mod group;
mod keys;
mod network_config;
mod package;
mod parse;
mod path;
mod probe;
mod resource;
mod shell_job;
mod systemd_unit;

use serde::{Deserialize, Serialize};

use crate::event::DeclaredProbe;
use crate::ids::BlobId;

pub use account::{AccountGroupSpec, UserSpec};
pub use check::Check;
pub use container::{
    ContainerMount, ContainerPort, ContainerSpec, PortProtocol, PullPolicy, RestartPolicy,
};
pub use dependency::Dependency;
pub use directory::DirectorySpec;
pub use file::{FileContent, FileSpec, MAX_INLINE_CONTENT_BYTES};
pub use gate::{HealthGate, MAX_GATE_RETRIES, MAX_GATE_TIMEOUT_SECS};
pub use group::ResourceGroupSpec;
pub use network_config::NetworkConfigSpec;
pub use package::PackageSpec;
pub use parse::{BundleError, MAX_PROBES, MAX_RESOURCES};
pub use path::{check_path, parse_mode};
pub use probe::{MAX_PROBE_INTERVAL_SECS, Probe};
pub use resource::{Holding, OnDrift, Resource, ResourceSpec};
pub use shell_job::ShellJobSpec;
pub use systemd_unit::{SystemdUnitSpec, UnitState};

/// The most bytes of a closure document.
pub const MAX_CLOSURE_BYTES: usize = 4 * 1024 * 1024;

/// The schema version of a bundle.
pub const BUNDLE_SCHEMA_VERSION: u32 = 1;

/// What a host should run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// 1.
    pub schema_version: u32,
    /// A free label.
    #[serde(default)]
    pub profile: String,
    /// How many resources may be worked on at once; 1: strictly in order.
    #[serde(default = "default_max_parallel")]
    pub max_parallel: u32,
    /// The resources.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// The probes.
    #[serde(default)]
    pub probes: Vec<Probe>,
}

fn default_max_parallel() -> u32 {
    4
}

impl Bundle {
    /// The assets its resources name.
    pub fn assets(&self) -> impl Iterator<Item = BlobId> {
        self.resources.iter().filter_map(|r| match &r.spec {
            ResourceSpec::File(file) => file.content.asset(),
            ResourceSpec::Directory(_)
            | ResourceSpec::User(_)
            | ResourceSpec::AccountGroup(_)
            | ResourceSpec::ResourceGroup(_)
            | ResourceSpec::ShellJob(_)
            | ResourceSpec::SystemdUnit(_)
            | ResourceSpec::Package(_)
            | ResourceSpec::Container(_)
            | ResourceSpec::NetworkConfig(_)
            | ResourceSpec::Unknown { .. } => None,
        })
    }

    /// The declared probes that run, as reported in `probe_topology`.
    #[must_use]
    pub fn declared_probes(&self) -> Vec<DeclaredProbe> {
        let declared =
            |p: &Probe| DeclaredProbe { name: p.name.clone(), kind: p.check.kind(), mode: p.mode };
        self.probes.iter().map(declared).collect()
    }
}
