//! The control plane put together: started from settings, stopped in order.
//!
//! Not here: the command line and signals (see [`crate::cli`]).

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wavegate_proto::artifact::rules::SerialFloor;
use wavegate_proto::ids::CpEpoch;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::trust::chain::{Pinned, TrustChain};

use crate::blobs::BlobStore;
use crate::clock::{Clock, read_floor, wall};
use crate::config::Settings;
use crate::core::{Core, CoreConfig, Stored};
use crate::echo_key;
use crate::exit::{Exit, Failure};
use crate::key_file::require_private_key;
use crate::server::disk::Disk;
use crate::server::downloads::Downloads;
use crate::server::limiter::Limiter;
use crate::server::listener::{Listeners, bind};
use crate::server::tls::install_crypto_provider;
use crate::server::{Context, LiveTls, Readiness, Revocations, Scopes, Shared, Streams};
use crate::service::{Handle, Service, metrics};
use crate::store::index::EventIndex;
use crate::store::{DATABASE_FILE, EventReader, Store, StoreError};
use crate::trust::{TrustStore, read_chain};
use crate::workers::release::{self, Adopter, AdopterParts, Publisher, Source};
use crate::workers::{self, certificates, compaction, indexing};

/// The name of the lock file in the state folder.
pub const LOCK_FILE: &str = "lock";

/// The folder of the blobs in the state folder.
pub const BLOBS_FOLDER: &str = "blobs";

/// How long connections may take to finish when the process stops.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(10);

/// How long the workers may take to finish when the process stops.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// A control plane that runs.
pub struct Running {
    /// The mTLS listener.
    pub https: SocketAddr,
    /// The plain one.
    pub status: Option<SocketAddr>,
    service: Service,
    publisher: Publisher,
    listeners: Listeners,
    reload_certificates: Arc<Notify>,
    workers: Vec<JoinHandle<()>>,
    stopping: CancellationToken,
    _lock: File,
}

/// What is read and opened before anything runs.
struct Opened {
    trust: Arc<TrustStore>,
    tls: Arc<LiveTls>,
    lock: File,
    https: TcpListener,
    status: Option<TcpListener>,
    store: Store,
    stored: Stored,
    blobs: BlobStore,
}

/// Starts a control plane; it serves when this returns.
///
/// # Errors
/// With the exit code that fits.
pub async fn start(settings: &Settings) -> Result<Running, Failure> {
    install_crypto_provider();
    metrics::start();
    let clock = Clock::start();
    let opened = open(settings, &clock).await?;
    let chain = opened.trust.chain();
    let source = source(settings, chain.trust())?;
    let addresses = (local_address(&opened.https)?, opened.status.as_ref().map(local_address));
    let floor = floor(&opened.stored);
    let (events, index) = log_reader(&settings.state_dir.join(DATABASE_FILE));
    let config = core_config(settings, chain.trust())?;
    let service = start_service(config, opened.store, opened.stored, &events, &clock)?;
    let (revocations, scopes) = (Arc::<Revocations>::default(), Arc::<Scopes>::default());
    let readiness = Arc::new(Readiness::default());
    let parts = AdopterParts {
        handle: service.handle(),
        blobs: opened.blobs.clone(),
        clock: clock.clone(),
        trust: opened.trust.clone(),
        revocations: revocations.clone(),
        scopes: scopes.clone(),
        readiness: readiness.clone(),
        floor,
        max_blob_bytes: settings.max_blob_bytes,
    };
    let adopter = loaded(parts, settings).await?;

    let stopping = CancellationToken::new();
    let (publisher, jobs) = release::channel();
    let stop = || stopping.child_token();
    let worker = tokio::spawn(release::run(adopter, jobs, source, settings.poll_every(), stop()));
    let compaction = tokio::spawn(compaction::run(events.clone(), service.handle(), stop()));
    let indexing = tokio::spawn(indexing::run(index, service.committed(), stop()));
    let keeping = workers::clock::run(clock.clone(), settings.state_dir.clone(), stop());
    let (reload, certificates) = certificates::start(&opened.tls, &opened.trust, stop());
    let workers = vec![worker, compaction, indexing, tokio::spawn(keeping), certificates];
    let context = Context::new(Shared {
        handle: service.handle(),
        events,
        committed: service.committed(),
        streams: Streams::default(),
        blobs: opened.blobs,
        clock: clock.clone(),
        trust: opened.trust,
        publisher: publisher.clone(),
        revocations,
        scopes,
        limiter: Limiter::new(settings.limits),
        downloads: Downloads::new(&settings.limits),
        disk: Disk::of(&settings.state_dir, settings.limits.reserve_bytes),
        readiness,
        stopping: stopping.clone(),
        max_blob_bytes: settings.max_blob_bytes,
        tls: opened.tls,
        renew_grace_secs: settings.renew_grace_secs,
    });
    let listeners = Listeners::start(&context, opened.https, opened.status).map_err(failed)?;
    Ok(Running {
        https: addresses.0,
        status: addresses.1.transpose()?,
        service,
        publisher,
        listeners,
        reload_certificates: reload,
        workers,
        stopping,
        _lock: opened.lock,
    })
}

/// The adoption worker, with the release that was adopted last.
async fn loaded(parts: AdopterParts, settings: &Settings) -> Result<Adopter, Failure> {
    let mut adopter = Adopter::new(parts, &settings.state_dir);
    adopter.load().await.map_err(failed)?;
    Ok(adopter)
}

impl Running {
    /// A way to send inputs to the reducer.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.service.handle()
    }

    /// Looks now at what is looked at now and then: the release source, and the files of certificates.
    pub fn look_again(&self) {
        self.publisher.poll_now();
        self.reload_certificates.notify_one();
    }

    /// Waits until a commit fails, and says why. The process must stop then.
    pub async fn failed(&self) -> Failure {
        Failure::new(Exit::CommitFailed, format!("commit: {}", self.service.failed().await)).hint(
            "look at the disk; nothing that was acknowledged is lost, start again when it works",
        )
    }

    /// Stops in order: no new connections; parked polls end; requests finish; the worker ends; the
    /// queue is drained, committed and checkpointed.
    ///
    /// # Errors
    /// When the last commit failed.
    pub async fn stop(self) -> Result<(), Failure> {
        self.stopping.cancel();
        self.listeners.finish(CONNECTION_PATIENCE).await;
        let workers = futures_util::future::join_all(self.workers);
        if tokio::time::timeout(WORKER_PATIENCE, workers).await.is_err() {
            tracing::warn!("a worker did not end in time");
        }
        self.service
            .stop()
            .await
            .map_err(|reason| Failure::new(Exit::CommitFailed, format!("commit: {reason}")))
    }
}

fn start_service(
    config: CoreConfig,
    store: Store,
    stored: Stored,
    events: &EventReader,
    clock: &Clock,
) -> Result<Service, Failure> {
    let restored = Core::restore(config, stored, clock.now());
    let (core, first) = restored.map_err(|e| Failure::new(Exit::Failed, e))?;
    Service::start(core, first, store, events.clone(), clock.clone()).map_err(failed)
}

fn source(settings: &Settings, trust: &TrustFile) -> Result<Option<Source>, Failure> {
    let source = settings.release_source.as_deref().map(|text| Source::new(text, trust));
    source.transpose().map_err(|e| Failure::new(Exit::Usage, e))
}

fn core_config(settings: &Settings, trust: &TrustFile) -> Result<CoreConfig, Failure> {
    Ok(CoreConfig {
        fleet: trust.fleet.clone(),
        heartbeat_secs: settings.heartbeat_secs,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        retain_secs: settings.retain_secs,
        next_epoch: CpEpoch(uuid::Uuid::new_v4()),
        echo_key: echo_key::read_or_make(&settings.state_dir).map_err(failed)?,
    })
}

/// A reader of the log, with its index; without one pages are slower, and nothing else.
fn log_reader(database: &Path) -> (EventReader, Option<EventIndex>) {
    let events = EventReader::new(database);
    match EventIndex::open(database) {
        Ok(index) => (events.with_index(&index), Some(index)),
        Err(error) => {
            tracing::warn!(%error, "the log has no index");
            (events, None)
        }
    }
}

async fn open(settings: &Settings, clock: &Clock) -> Result<Opened, Failure> {
    let chain: (TrustChain, Pinned) = read_chain(&settings.state_dir, &settings.trust)?;
    require_private_key(&settings.tls_key)?;
    if let Some(issuer) = &settings.issuer {
        require_private_key(&issuer.key)?;
    }
    let tls = LiveTls::read(settings, chain.0.trust(), clock)
        .map_err(|e| Failure::new(Exit::Usage, e))?;
    let state_dir = &settings.state_dir;
    std::fs::create_dir_all(state_dir)
        .map_err(|e| Failure::new(Exit::Failed, format!("make {}: {e}", state_dir.display())))?;
    let lock = lock(state_dir)?;
    clock.go_on_from(read_floor(state_dir).map_err(failed)?);
    if let Some(behind_secs) = clock.floor().behind_secs(wall()) {
        tracing::error!(behind_secs, floor = %clock.floor().at(), "the system's clock is behind the time that is known to have been; that one is judged by");
    }
    let trust = Arc::new(TrustStore::open(state_dir, chain).map_err(failed)?);
    let https = listen(settings.listen).await?;
    let status = match settings.status_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let blobs = BlobStore::open(&state_dir.join(BLOBS_FOLDER))
        .map_err(failed)?
        .with_quota(settings.limits.blob_store_bytes);
    let database = state_dir.join(DATABASE_FILE);
    let (store, stored) = Store::open(&database, clock.now().wall).map_err(|error| {
        let exit = match &error {
            StoreError::Newer { .. } => Exit::StateUnusable,
            StoreError::Sqlite(_)
            | StoreError::Migration(_)
            | StoreError::Malformed { .. }
            | StoreError::JournalMode { .. }
            | StoreError::Gap { .. } => Exit::Failed,
        };
        Failure::new(exit, error)
    })?;
    Ok(Opened { trust, tls: Arc::new(tls), lock, https, status, store, stored, blobs })
}

/// One control plane per state folder: an advisory lock that the kernel drops when the process dies.
fn lock(state_dir: &Path) -> Result<File, Failure> {
    let path = state_dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file =
        file.map_err(|e| Failure::new(Exit::Failed, format!("open {}: {e}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let message = format!("lock {}: another control plane uses it", state_dir.display());
            Err(Failure::new(Exit::StateUnusable, message)
                .hint("stop it, or give another --state-dir"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    bind(address).await.map_err(|error| {
        let message = format!("listen on {address}: {error}");
        if error.kind() == io::ErrorKind::AddrInUse {
            return Failure::new(Exit::AddressInUse, message)
                .hint("stop what listens there, or choose another address");
        }
        Failure::new(Exit::Failed, message)
    })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(failed)
}

fn floor(stored: &Stored) -> SerialFloor {
    stored.release.as_ref().map_or_else(SerialFloor::default, |release| SerialFloor {
        serial: release.serial,
        fleet_sha256: Some(release.fleet_sha256),
    })
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: io::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}
