//! What every kind of resource can do: be observed, be brought to its wanted state, be taken away.
//!
//! Not here: the kinds themselves (one file each), their order and gates (see `engine`).

use std::sync::Arc;

use serde_json::{Value, json};
use wavegate_proto::artifact::bundle::{Bundle, Resource, ResourceSpec};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation, ResourceKind};

use super::account_group::AccountGroup;
use super::container::Container;
use super::difference::Difference;
use super::directory::Directory;
use super::error::ResourceError;
use super::file::RegularFile;
use super::host::Host;
use super::network_config::{NetworkConfig, NetworkOrder};
use super::original;
use super::owned::OwnedEntry;
use super::package::Package;
use super::resource_group::ResourceGroup;
use super::shell_job::ShellJob;
use super::systemd_unit::{SystemdUnit, UnitOrder};
use super::user::User;

/// How a resource is, compared with what it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// How it differs.
    pub drift: Drift,
    /// What is there, typed by kind.
    pub detail: Value,
    /// In what it differs; nothing for what is missing.
    pub differs: Vec<Difference>,
}

impl Observed {
    /// Nothing is there.
    pub(crate) fn missing() -> Self {
        Self { drift: Drift::Missing, detail: json!({}), differs: Vec::new() }
    }

    /// Something is there, and differs in this.
    pub(crate) fn compared(differs: Vec<Difference>, detail: Value) -> Self {
        let drift = if differs.is_empty() { Drift::Ok } else { Drift::Changed };
        Self { drift, detail, differs }
    }

    /// Something else is in its place.
    pub(crate) fn unlike(found: &'static str, wanted: &str) -> Self {
        let differs =
            vec![Difference::new("type", Some(found.to_owned()), Some(wanted.to_owned()))];
        Self::compared(differs, json!({ "found": found }))
    }
}

/// What became of something that is no longer wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was removed.
    Removed,
    /// What it had replaced is back.
    PutBack,
    /// There was nothing to do.
    AlreadyDone,
    /// It is no longer ours alone, and stays.
    LeftInPlace {
        /// Why.
        why: &'static str,
    },
}

/// A kind of resource.
pub trait Kind {
    /// Its own keys in a bundle.
    type Spec;

    /// Looks, and changes nothing.
    fn observe(
        host: Arc<Host>,
        spec: Self::Spec,
    ) -> impl Future<Output = Result<Observed, ResourceError>> + Send;

    /// Brings it to its wanted state with the least change. Done twice, the second time changes
    /// nothing and says [`Operation::None`]. What it replaces is kept before.
    fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: Self::Spec,
    ) -> impl Future<Output = Result<Operation, ResourceError>> + Send;

    /// Takes it away and puts back what it had replaced. Done twice, the second time changes nothing.
    fn delete(
        host: Arc<Host>,
        entry: OwnedEntry,
    ) -> impl Future<Output = Result<Removal, ResourceError>> + Send;
}

/// Observes a resource of any kind.
///
/// # Errors
/// When it cannot be looked at, or is of an unknown kind.
pub async fn observe(
    host: &Arc<Host>,
    bundle: &Bundle,
    resource: &Resource,
) -> Result<Observed, ResourceError> {
    let host = Arc::clone(host);
    match &resource.spec {
        ResourceSpec::File(spec) => RegularFile::observe(host, spec.clone()).await,
        ResourceSpec::Directory(spec) => Directory::observe(host, spec.clone()).await,
        ResourceSpec::User(spec) => User::observe(host, spec.clone()).await,
        ResourceSpec::AccountGroup(spec) => AccountGroup::observe(host, spec.clone()).await,
        ResourceSpec::ResourceGroup(spec) => ResourceGroup::observe(host, spec.clone()).await,
        ResourceSpec::ShellJob(spec) => ShellJob::observe(host, spec.clone()).await,
        ResourceSpec::Package(spec) => Package::observe(host, spec.clone()).await,
        ResourceSpec::Container(spec) => Container::observe(host, spec.clone()).await,
        ResourceSpec::NetworkConfig(spec) => {
            NetworkConfig::observe(host, NetworkOrder::of(bundle, spec)).await
        }
        ResourceSpec::SystemdUnit(spec) => {
            SystemdUnit::observe(host, UnitOrder::of(bundle, spec)).await
        }
        ResourceSpec::Unknown { .. } => Err(unknown(resource)),
    }
}

/// Brings a resource of any kind to its wanted state.
///
/// # Errors
/// When it cannot be, or is of an unknown kind.
pub async fn reconcile(
    host: &Arc<Host>,
    bundle: &Bundle,
    resource: &Resource,
) -> Result<Operation, ResourceError> {
    let (host, id) = (Arc::clone(host), resource.id.clone());
    match &resource.spec {
        ResourceSpec::File(spec) => RegularFile::reconcile(host, id, spec.clone()).await,
        ResourceSpec::Directory(spec) => Directory::reconcile(host, id, spec.clone()).await,
        ResourceSpec::User(spec) => User::reconcile(host, id, spec.clone()).await,
        ResourceSpec::AccountGroup(spec) => AccountGroup::reconcile(host, id, spec.clone()).await,
        ResourceSpec::ResourceGroup(spec) => ResourceGroup::reconcile(host, id, spec.clone()).await,
        ResourceSpec::ShellJob(spec) => ShellJob::reconcile(host, id, spec.clone()).await,
        ResourceSpec::Package(spec) => Package::reconcile(host, id, spec.clone()).await,
        ResourceSpec::Container(spec) => Container::reconcile(host, id, spec.clone()).await,
        ResourceSpec::NetworkConfig(spec) => {
            NetworkConfig::reconcile(host, id, NetworkOrder::of(bundle, spec)).await
        }
        ResourceSpec::SystemdUnit(spec) => {
            SystemdUnit::reconcile(host, id, UnitOrder::of(bundle, spec)).await
        }
        ResourceSpec::Unknown { .. } => Err(unknown(resource)),
    }
}

/// Takes away something of ours, of any kind. What a newer agent made is left to a newer agent.
///
/// # Errors
/// When it cannot be taken away.
pub async fn delete(host: &Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
    let host = Arc::clone(host);
    match entry.kind {
        ResourceKind::File => RegularFile::delete(host, entry).await,
        ResourceKind::Directory => Directory::delete(host, entry).await,
        ResourceKind::User => User::delete(host, entry).await,
        ResourceKind::Group => AccountGroup::delete(host, entry).await,
        ResourceKind::ShellJob => ShellJob::delete(host, entry).await,
        ResourceKind::Package => Package::delete(host, entry).await,
        ResourceKind::Container => Container::delete(host, entry).await,
        ResourceKind::NetworkConfig => NetworkConfig::delete(host, entry).await,
        ResourceKind::SystemdUnit => SystemdUnit::delete(host, entry).await,
        ResourceKind::Unknown => Ok(Removal::LeftInPlace { why: "its kind is unknown" }),
    }
}

/// The error for a kind this build does not know.
#[must_use]
pub fn unknown(resource: &Resource) -> ResourceError {
    let why = if let ResourceSpec::Unknown { reason, .. } = &resource.spec {
        reason.clone()
    } else {
        String::new()
    };
    ResourceError::UnknownKind { id: resource.id.clone(), why }
}

/// Runs work that blocks on the file system on a thread of its own.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ResourceError> + Send + 'static,
) -> Result<T, ResourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(ResourceError::Worker(stopped.to_string())),
    }
}

/// Puts back what was at a path before us, on a thread of its own.
pub(crate) async fn put_back(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
    on_thread(move || original::put_back(&host, &entry)).await
}
