//! What all workers share: the host, the control plane, whom to believe, and the way to the reducer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::ids::{BlobId, ClosureId, HostName};
use wavegate_proto::trust::chain::TrustChain;
use wavegate_proto::wire::agent::ResourceRef;

use super::inbox::Inbox;
use super::memory::Memory;
use crate::activation::Activator;
use crate::cache::{Cache, CacheError};
use crate::client::{Backoff, ControlPlane};
use crate::clock::FloorClock;
use crate::own_program::OwnProgram;
use crate::probes::CheckRunner;
use crate::resources::change::ChangeMark;
use crate::resources::steps::Unhindered;

/// The shortest and the longest pace a control plane may set (G2).
pub(super) const MIN_HEARTBEAT: Duration = Duration::from_secs(1);
pub(super) const MAX_HEARTBEAT: Duration = Duration::from_secs(600);

/// The pace before the control plane has set one.
pub(super) const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(60);

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

pub(super) struct Shell {
    pub(super) host: HostName,
    /// The time to judge by.
    pub(super) clock: FloorClock,
    /// Whom this host believes.
    pub(super) trust: watch::Sender<Arc<TrustChain>>,
    /// The version of the trust file that the control plane says it has.
    pub(super) announced_trust: watch::Sender<u64>,
    pub(super) control_plane: ControlPlane,
    pub(super) cache: Arc<Cache>,
    pub(super) activator: Activator,
    pub(super) checks: Arc<dyn CheckRunner>,
    pub(super) state_dir: std::path::PathBuf,
    pub(super) inbox: Inbox,
    pub(super) memory: Memory,
    /// Held by whoever may change resources: an activation, or a look for drift.
    pub(super) hands: Mutex<()>,
    /// How often heartbeats are sent.
    pub(super) pace: watch::Sender<Duration>,
    pub(super) heartbeat_now: Notify,
    pub(super) more_to_post: Notify,
    pub(super) stop: CancellationToken,
    /// What this program knows of itself, where a supervisor starts it.
    pub(super) own: Option<Arc<OwnProgram>>,
    /// Cancelled when the agent is to be started again as another program.
    pub(super) replaced: CancellationToken,
}

impl Shell {
    /// Whom this host believes now.
    pub(super) fn trust(&self) -> Arc<TrustChain> {
        Arc::clone(&self.trust.borrow())
    }

    /// A back-off that knocks about as often as heartbeats do, once the control plane is gone.
    pub(super) fn backoff(&self) -> Backoff {
        let pace = *self.pace.borrow();
        Backoff::new(FIRST_RETRY, pace.clamp(MIN_HEARTBEAT, LONGEST_RETRY))
    }

    /// The document of a closure in the cache; `None` for what is not there or is a store path.
    pub(super) fn bundle(&self, closure: &ClosureId) -> Result<Option<Bundle>, CacheError> {
        self.document(closure.blob())
    }

    /// A closure document in the cache.
    pub(super) fn document(&self, blob: Option<BlobId>) -> Result<Option<Bundle>, CacheError> {
        let Some(blob) = blob else { return Ok(None) };
        tokio::task::block_in_place(|| self.cache.closure(&blob))
    }

    /// Keeps what is in use from being evicted.
    pub(super) fn pin_in_use(&self) {
        let in_use = self.inbox.view().borrow().in_use.clone();
        if let Err(error) = tokio::task::block_in_place(|| self.cache.pin(in_use)) {
            tracing::warn!(%error, "pins of the cache not changed");
        }
    }

    /// Whether an activation that was cut off by a restart has changed something.
    pub(super) fn cut_off_pass_changed(&self) -> bool {
        ChangeMark::open(&self.state_dir, Arc::new(Unhindered)).changed()
    }

    /// Other hosts have completed these.
    pub(super) fn satisfied(&self, resources: Vec<ResourceRef>) {
        self.activator.set_satisfied(resources.into_iter().collect::<BTreeSet<_>>());
    }

    /// Ends this program, so that the one that has taken its place is started.
    pub(super) fn make_way(&self) {
        tracing::warn!("another program has taken the place of this one: the agent starts again");
        self.replaced.cancel();
        self.stop.cancel();
    }

    /// Whether another program has taken the place of this one.
    pub(super) fn is_replaced(&self) -> bool {
        let own = self.own.as_ref();
        own.is_some_and(|own| tokio::task::block_in_place(|| own.is_replaced()))
    }

    /// Sleeps, but not beyond the end of the program.
    pub(super) async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}
