//! What every route has at hand.
//!
//! Not here: the caller (see [`super::identity`]).

use std::ops::Deref;
use std::sync::Arc;

use super::disk::Disk;
use super::downloads::Downloads;
use super::limiter::Limiter;
use super::{LiveTls, Readiness, Revocations, Scopes, Streams};
use crate::blobs::BlobStore;
use crate::clock::Clock;
use crate::core::LogEnd;
use crate::service::Handle;
use crate::store::EventReader;
use crate::trust::TrustStore;
use crate::workers::release::Publisher;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What every route has at hand. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(Arc<Shared>);

/// What is shared.
#[derive(Debug)]
pub struct Shared {
    /// To the reducer.
    pub handle: Handle,
    /// The event list.
    pub events: EventReader,
    /// How far the log is committed, as it grows.
    pub committed: watch::Receiver<LogEnd>,
    /// The streams that are open.
    pub streams: Streams,
    /// The blobs.
    pub blobs: BlobStore,
    /// The process's clocks.
    pub clock: Clock,
    /// Whom this machine believes.
    pub trust: Arc<TrustStore>,
    /// To the adoption worker.
    pub publisher: Publisher,
    /// What the adopted release revokes.
    pub revocations: Arc<Revocations>,
    /// Which operators may act on some channels only.
    pub scopes: Arc<Scopes>,
    /// How much one caller may ask.
    pub limiter: Limiter,
    /// What goes out of the blob folder.
    pub downloads: Downloads,
    /// Whether there is room for what hosts and uploads bring.
    pub disk: Disk,
    /// What keeps the process from being ready, beside the live model.
    pub readiness: Arc<Readiness>,
    /// Cancelled when the process stops.
    pub stopping: CancellationToken,
    /// The most bytes of a blob.
    pub max_blob_bytes: u64,
    /// The server's certificate, and what issues those of hosts.
    pub tls: Arc<LiveTls>,
    /// For how long after its end a host's certificate can be renewed, in seconds.
    pub renew_grace_secs: u64,
}

impl Context {
    /// Shares it.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for Context {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
