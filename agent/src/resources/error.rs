//! Why a resource is not as it should be, and whose failure that is.
//!
//! Not here: what follows from it (see `engine` and the agent's decisions).

use std::io;

use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::{BlobId, ResourceId};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::ResourceRef;

/// Why a resource could not be brought to, or shown to be in, its wanted state.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// A kind, or a key of a kind, that this build does not know.
    #[error("resource {id} is of a kind this agent does not know: {why}")]
    UnknownKind {
        /// The resource.
        id: ResourceId,
        /// What is not known.
        why: String,
    },
    /// The bundle has a version this build does not know.
    #[error("the bundle has schema version {found}, this agent reads 1")]
    UnsupportedSchema {
        /// Its version.
        found: u32,
    },
    /// The bundle contradicts itself.
    #[error("{what}")]
    BadBundle {
        /// A stable code.
        reason: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// No space, or no quota, left.
    #[error("no space left on the device while {doing} {path}")]
    DiskFull {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: String,
    },
    /// The folder that should hold it is not there.
    #[error("the folder of {path} does not exist")]
    ParentMissing {
        /// The path as the bundle writes it.
        path: String,
    },
    /// Something of another type is in its place.
    #[error("{path} is {found}: left alone")]
    UnexpectedType {
        /// The path as the bundle writes it.
        path: String,
        /// What is there.
        found: &'static str,
    },
    /// G28: a symbolic link on the way belongs to somebody who must not steer us.
    #[error("{path} leads through a symbolic link owned by uid {uid}: not followed")]
    ForeignLink {
        /// The path as the bundle writes it.
        path: String,
        /// The link's owner.
        uid: u32,
    },
    /// A user or group that this host does not have.
    #[error("this host has no {what} named {name:?}")]
    UnknownAccount {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The root has no accounts.
    #[error("there is no {path} to keep accounts in")]
    NoAccountFile {
        /// The file that is missing.
        path: String,
    },
    /// Another account has the id.
    #[error("another {what} has the id {id}")]
    AccountConflict {
        /// `user` or `group`.
        what: &'static str,
        /// The id.
        id: u32,
    },
    /// All ids for accounts of the system are taken.
    #[error("no id from 100 to 999 is free")]
    NoFreeId,
    /// A secret that should be on this host is not.
    #[error("this host has no file {path} to take content from")]
    SecretMissing {
        /// Where it should be.
        path: String,
    },
    /// The root has no systemd.
    #[error("this root has no systemd: other roots than / have none unless --systemd-bus names it")]
    NoSystemd,
    /// systemd does not answer.
    #[error("systemd cannot be reached: {why}")]
    SystemdAway {
        /// Why.
        why: String,
    },
    /// systemd did not do it.
    #[error("systemd did not {doing} {unit}: {why}")]
    UnitRefused {
        /// What was asked.
        doing: &'static str,
        /// The unit.
        unit: String,
        /// Its answer.
        why: String,
    },
    /// This host has no apt.
    #[error("apt cannot be run: {why}")]
    NoApt {
        /// Why.
        why: String,
    },
    /// Somebody else installs, or the package could not be fetched.
    #[error("package {package} cannot be had right now: {why}")]
    AptBusy {
        /// The package.
        package: String,
        /// What apt says.
        why: String,
    },
    /// apt does not do it.
    #[error("package {package}: {why}")]
    AptFailed {
        /// The package.
        package: String,
        /// What apt says.
        why: String,
    },
    /// The simulation shows that others would go.
    #[error("package {package} would remove {others}: nothing was changed")]
    WouldRemove {
        /// The package.
        package: String,
        /// The others.
        others: String,
    },
    /// The host does not let bundles run programs.
    #[error("resource {id} is a shell job, and this host runs none (--allow-shell-jobs)")]
    ShellJobsRefused {
        /// The resource.
        id: ResourceId,
    },
    /// The program could not be started, and has done nothing.
    #[error("the job could not be started: {why}")]
    JobNotStarted {
        /// Why.
        why: String,
    },
    /// The program ended otherwise than with 0.
    #[error("the job failed: {why}")]
    JobFailed {
        /// How it ended, and its last words.
        why: String,
    },
    /// The program was killed.
    #[error("the job was killed: its time was over")]
    JobTimedOut,
    /// The agent or the host went down while the program ran.
    #[error(
        "the job was cut off after {started_at}, and nobody knows how far it came: look, then `wavegate-agent reset {id}` lets it run again"
    )]
    JobInterrupted {
        /// The resource.
        id: ResourceId,
        /// When it was started.
        started_at: Timestamp,
    },
    /// The root has no container engine.
    #[error(
        "this root has no container engine: other roots than / have none unless --container-socket names it"
    )]
    NoEngine,
    /// The container engine does not answer.
    #[error("the container engine cannot be reached: {why}")]
    EngineAway {
        /// Why.
        why: String,
    },
    /// The container engine did not do it.
    #[error("the container engine did not {doing} {name}: {why}")]
    EngineRefused {
        /// What was asked.
        doing: &'static str,
        /// The container.
        name: String,
        /// Its answer.
        why: String,
    },
    /// An image that is not to be fetched is not there.
    #[error("this host has no image {image}, and it is not to be fetched")]
    ImageMissing {
        /// The image.
        image: String,
    },
    /// An image could not be fetched.
    #[error("image {image} cannot be had right now: {why}")]
    PullFailed {
        /// The image.
        image: String,
        /// What the engine says.
        why: String,
    },
    /// A change that could cut the host off is made only while it can be seen whether it did.
    #[error("the control plane is out of reach: no time to change the network")]
    ControlPlaneAway,
    /// A change cut the host off, and was taken back.
    #[error(
        "the control plane was out of reach for {after_secs} s after the change, which was taken back"
    )]
    NetworkReverted {
        /// How long was waited, in seconds.
        after_secs: u64,
    },
    /// An asset that should be in the cache is not.
    #[error("asset {asset} is not in the cache")]
    AssetMissing {
        /// The asset.
        asset: BlobId,
    },
    /// An asset in the cache is not what its name says.
    #[error("asset {asset} in the cache has other content than its name says")]
    AssetCorrupt {
        /// The asset.
        asset: BlobId,
    },
    /// What should be put back is no longer in the state folder.
    #[error("the saved content of {path} is missing: left alone")]
    SavedMissing {
        /// The path as the bundle wrote it.
        path: String,
    },
    /// The health gate did not pass within its budget.
    #[error("health gate failed after {attempts} checks: {last}")]
    GateFailed {
        /// How many checks were made.
        attempts: u32,
        /// Why the last one failed.
        last: String,
    },
    /// A resource of another host did not come in time.
    #[error("waited too long for {} on host {}", .of.resource, .of.host)]
    AwaitTimeout {
        /// What was waited for.
        of: ResourceRef,
    },
    /// The time for the whole activation is over.
    #[error("the time for the activation is over: {last}")]
    OutOfTime {
        /// What was going on.
        last: String,
    },
    /// The task that worked on it came to an end on its own.
    #[error("the worker stopped: {0}")]
    Worker(String),
    /// Anything else the operating system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Whether trying the same again soon may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It may.
    Soon,
    /// It will not.
    Never,
}

impl ResourceError {
    /// Says what is being done to which path, for the case that the system refuses.
    pub(crate) fn io<'a>(doing: &'static str, path: &'a str) -> Act<'a> {
        Act { doing, path }
    }

    /// Whose failure it is. A bundle that does not fit the host is the artifact's failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::UnknownKind { .. }
            | Self::UnsupportedSchema { .. }
            | Self::ShellJobsRefused { .. }
            | Self::ForeignLink { .. } => FailureClass::Policy,
            Self::BadBundle { .. }
            | Self::ParentMissing { .. }
            | Self::UnexpectedType { .. }
            | Self::UnknownAccount { .. }
            | Self::AccountConflict { .. }
            | Self::JobNotStarted { .. }
            | Self::JobFailed { .. }
            | Self::JobTimedOut
            | Self::UnitRefused { .. }
            | Self::AptFailed { .. }
            | Self::WouldRemove { .. }
            | Self::EngineRefused { .. }
            | Self::NetworkReverted { .. }
            | Self::GateFailed { .. } => FailureClass::Artifact,
            Self::AssetMissing { .. }
            | Self::AptBusy { .. }
            | Self::PullFailed { .. }
            | Self::ControlPlaneAway => FailureClass::Network,
            Self::DiskFull { .. }
            | Self::NoEngine
            | Self::EngineAway { .. }
            | Self::ImageMissing { .. }
            | Self::AssetCorrupt { .. }
            | Self::NoAccountFile { .. }
            | Self::NoFreeId
            | Self::NoSystemd
            | Self::SecretMissing { .. }
            | Self::SystemdAway { .. }
            | Self::NoApt { .. }
            | Self::JobInterrupted { .. }
            | Self::SavedMissing { .. }
            | Self::AwaitTimeout { .. }
            | Self::OutOfTime { .. }
            | Self::Worker(_)
            | Self::Io { .. } => FailureClass::Host,
        }
    }

    /// A stable code for it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => "unknown-kind",
            Self::UnsupportedSchema { .. } => "unsupported-schema",
            Self::BadBundle { reason, .. } => reason,
            Self::DiskFull { .. } => "disk-full",
            Self::ParentMissing { .. } => "parent-missing",
            Self::UnexpectedType { .. } => "unexpected-type",
            Self::ForeignLink { .. } => "foreign-symlink",
            Self::UnknownAccount { .. } => "unknown-account",
            Self::NoAccountFile { .. } => "no-accounts",
            Self::AccountConflict { .. } => "account-conflict",
            Self::NoFreeId => "no-free-id",
            Self::NoApt { .. } => "no-apt",
            Self::AptBusy { .. } => "apt-busy",
            Self::AptFailed { .. } => "apt-failed",
            Self::WouldRemove { .. } => "would-remove",
            Self::SecretMissing { .. } => "secret-missing",
            Self::NoSystemd => "no-systemd",
            Self::SystemdAway { .. } => "systemd-away",
            Self::UnitRefused { .. } => "unit-failed",
            Self::ShellJobsRefused { .. } => "shell-jobs-refused",
            Self::JobNotStarted { .. } => "job-not-started",
            Self::JobFailed { .. } => "job-failed",
            Self::JobTimedOut => "job-timeout",
            Self::JobInterrupted { .. } => "job-interrupted",
            Self::NoEngine => "no-container-engine",
            Self::EngineAway { .. } => "engine-away",
            Self::EngineRefused { .. } => "container-failed",
            Self::ImageMissing { .. } => "image-missing",
            Self::PullFailed { .. } => "pull-failed",
            Self::ControlPlaneAway => "control-plane-away",
            Self::NetworkReverted { .. } => "network-reverted",
            Self::AssetMissing { .. } => "asset-missing",
            Self::AssetCorrupt { .. } => "asset-corrupt",
            Self::SavedMissing { .. } => "saved-missing",
            Self::GateFailed { .. } => "gate-failed",
            Self::AwaitTimeout { .. } => "await-timeout",
            Self::OutOfTime { .. } => "activation-timeout",
            Self::Worker(_) => "worker-stopped",
            Self::Io { .. } => "io",
        }
    }

    /// Whether to try again inside the same activation.
    #[must_use]
    pub fn retry(&self) -> Retry {
        if let Self::AptBusy { .. }
        | Self::SystemdAway { .. }
        | Self::EngineAway { .. }
        | Self::PullFailed { .. }
        | Self::ControlPlaneAway = self
        {
            return Retry::Soon;
        }
        let Self::Io { source, .. } = self else { return Retry::Never };
        let transient = matches!(
            source.kind(),
            io::ErrorKind::ResourceBusy
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted
                | io::ErrorKind::ExecutableFileBusy
        );
        if transient { Retry::Soon } else { Retry::Never }
    }
}

/// What is being done, to which path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act<'a> {
    doing: &'static str,
    path: &'a str,
}

impl Act<'_> {
    /// The error for the system's answer to it.
    pub(crate) fn refused(self, answer: impl Into<io::Error>) -> ResourceError {
        let source = match answer.into().downcast::<ResourceError>() {
            Ok(own) => return own,
            Err(source) => source,
        };
        let (doing, path) = (self.doing, self.path.to_owned());
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&source.kind()) {
            return ResourceError::DiskFull { doing, path };
        }
        ResourceError::Io { doing, path, source }
    }
}

/// Adds to a system's refusal what was being done.
pub(crate) trait Doing<T> {
    /// Turns a refusal of `act` into a [`ResourceError`].
    fn doing(self, act: Act<'_>) -> Result<T, ResourceError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, act: Act<'_>) -> Result<T, ResourceError> {
        self.map_err(|answer| act.refused(answer))
    }
}
