//! The daemon: one reducer that decides and journals, workers around it that act.
//!
//! Not here: the decisions (`wavegate_state_machine::agent`).

mod certificate;
mod inbox;
mod reducer;
mod shell;

mod effects;
mod start;

mod contact;
mod drift;
mod heartbeat;
mod local;
mod looks;
mod observed;
mod poll;
mod post;
mod trust;

mod activate;
mod fetch;
mod offer;
mod plan;
mod probing;
mod renewal;

mod lock;
mod memory;

pub use lock::LOCK_FILE;
pub(crate) use lock::{LockError, StateLock};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc::UnboundedReceiver, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wavegate_state_machine::agent::AgentCore;

use self::effects::Actor;
use self::inbox::Stopped;
use self::memory::Memory;
use self::reducer::{RandomIds, Reducer};
use self::shell::{DEFAULT_HEARTBEAT, Shell};
use self::start::Start;
use crate::clock;
use crate::config::Settings;
use crate::enroll::join::join_when_missing;
use crate::exit::{Exit, Failure};
use crate::resources::status::StatusChange;
use crate::trust::read_pinned;

/// How long workers may take to end once the reducer has.
const END_TIME: Duration = Duration::from_secs(2);

/// Runs the agent until `stop` is cancelled or its journal cannot be written. Needs a runtime with
/// several threads.
///
/// # Errors
/// When it cannot start, or must not go on; the failure says with which exit code.
pub async fn run(settings: &Settings, stop: CancellationToken) -> Result<(), Failure> {
    let trusted = read_pinned(&settings.trust).map_err(|e| Failure::new(Exit::Usage, e))?;
    tokio::select! {
        joined = join_when_missing(settings, trusted.trust()) => joined?,
        () = stop.cancelled() => return Ok(()),
    }
    let found = tokio::task::block_in_place(|| start::start(settings))?;
    let Start {
        identity, certificate, trust, control_plane, journal, restored, cache, checks, ..
    } = found;
    let (activator, changes, _lock) = (found.activator, found.changes, found._lock);
    let (inbox, outlet) = inbox::channel();
    let shell = Arc::new(Shell {
        host: identity.host.clone(),
        clock: found.clock,
        trust: watch::Sender::new(Arc::new(trust)),
        announced_trust: watch::Sender::new(0),
        control_plane,
        cache,
        activator,
        checks,
        state_dir: settings.state_dir.clone(),
        inbox,
        memory: Memory::new(found.snapshot, found.snapshot_file),
        hands: Mutex::new(()),
        pace: watch::Sender::new(DEFAULT_HEARTBEAT),
        heartbeat_now: Notify::new(),
        more_to_post: Notify::new(),
        stop: stop.clone(),
        own: found.own,
        replaced: CancellationToken::new(),
    });
    let (core, effects) = AgentCore::restore(clock::now(), restored, &mut RandomIds);
    activate::forget_fall_back(&shell, &effects);
    let tasks = TaskTracker::new();
    let actor = Actor::new(Arc::clone(&shell), tasks.clone());
    let reducer = Reducer::new(core, journal, outlet, actor, stop.clone());
    tracing::info!(host = %identity.host, fleet = %identity.fleet, url = settings.url, "agent started");
    let mut workers = start_workers(&shell, changes, settings.drift_interval);
    let own = Arc::clone(&shell);
    workers.spawn(async move { renewal::run(&own, certificate).await });
    let ended = tokio::select! {
        ended = reducer.run(effects) => ended.map_err(|error| Failure::new(Exit::CommitFailed, error)),
        broken = first_panic(&mut workers) => Err(broken),
    };
    stop.cancel();
    end(&shell, workers, &tasks).await;
    ended?;
    if shell.replaced.is_cancelled() {
        return Err(Failure::new(Exit::Replaced, "go on: another program has taken its place"));
    }
    tracing::info!("agent stopped");
    Ok(())
}

fn start_workers(
    shell: &Arc<Shell>,
    changes: UnboundedReceiver<StatusChange>,
    drift_interval: Duration,
) -> JoinSet<Result<(), Stopped>> {
    let mut workers = JoinSet::new();
    let own = || Arc::clone(shell);
    let (heartbeats, polls, posts, drift, observed, trusted, memory, local) =
        (own(), own(), own(), own(), own(), own(), own(), own());
    workers.spawn(async move { local::run(&local).await });
    workers.spawn(async move { heartbeat::run(&heartbeats).await });
    workers.spawn(async move { poll::run(&polls).await });
    workers.spawn(async move { post::run(&posts).await });
    workers.spawn(async move { drift::run(&drift, drift_interval).await });
    workers.spawn(async move { observed::run(&observed, changes).await });
    workers.spawn(async move { trust::run(&trusted).await });
    workers.spawn(async move {
        memory.keep_memory().await;
        Ok(())
    });
    workers
}

/// A worker that breaks takes the agent down: half an agent is worse than one that is restarted.
async fn first_panic(workers: &mut JoinSet<Result<(), Stopped>>) -> Failure {
    loop {
        match workers.join_next().await {
            Some(Err(broken)) => return Failure::new(Exit::Failed, format!("go on: {broken}")),
            Some(Ok(Ok(()) | Err(Stopped))) => {}
            None => std::future::pending().await,
        }
    }
}

/// The reducer has ended: nothing is decided any more. Stop the rest, and write down what is known.
async fn end(shell: &Shell, mut workers: JoinSet<Result<(), Stopped>>, tasks: &TaskTracker) {
    workers.abort_all();
    tasks.close();
    let all = async {
        while workers.join_next().await.is_some() {}
        tasks.wait().await;
    };
    if tokio::time::timeout(END_TIME, all).await.is_err() {
        tracing::warn!("work was still going on; it goes on after the next start");
    }
    tokio::task::block_in_place(|| shell.save_memory());
}
