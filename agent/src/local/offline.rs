//! Answering without an agent: under its lock, on its files.
//!
//! Not here: the journal. What was changed this way is reported by the agent's next look for drift.

use std::collections::BTreeSet;
use std::sync::Arc;

use wavegate_proto::ids::ClosureId;

use super::{Answer, Request, desk};
use crate::activation::{Activator, live_setup};
use crate::cache::Cache;
use crate::client::install_crypto_provider;
use crate::clock;
use crate::config::HandSettings;
use crate::daemon::{LockError, StateLock};
use crate::exit::{Exit, Failure};
use crate::probes::{CheckRunner, LocalChecks};
use crate::resources::host::HostSettings;
use crate::snapshot::{self, SnapshotFile};

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error)
}

/// Does what was asked.
pub(super) fn answer(settings: &HandSettings, request: Request) -> Result<Answer, Failure> {
    let state_dir = &settings.state_dir;
    let _lock = StateLock::take(state_dir).map_err(|error| match error {
        LockError::Held => failed("ask the agent: it is starting or ending").hint("ask again"),
        LockError::Io(_) => {
            failed(error).hint("give the folder of an agent that has run once with --state-dir")
        }
    })?;
    install_crypto_provider();
    let cache = Cache::open(state_dir, u64::MAX, BTreeSet::new()).map(Arc::new).map_err(failed)?;
    let checks: Arc<dyn CheckRunner> =
        Arc::new(LocalChecks::new(settings.root.clone(), settings.root_exec).map_err(failed)?);
    let host = HostSettings {
        shell_jobs: settings.shell_jobs,
        clock: Arc::new(clock::wall),
        systemd_bus: settings.systemd_bus.clone(),
        container_sockets: settings.container_sockets.clone(),
        // A new network is tried by the agent only: it has the certificate to ask with.
        reach: None,
    };
    let setup = live_setup(&settings.root, state_dir, Arc::clone(&cache), checks, host);
    let (activator, _changes) = Activator::open(setup).map_err(failed)?;
    let loaded = snapshot::load(state_dir, clock::wall()).map_err(failed)?;
    let mut remembered = loaded.snapshot.clone().unwrap_or_default();
    activator.statuses().restore(remembered.tracked());
    let current = activator.current().map_err(failed)?;
    let blob = current.as_ref().and_then(ClosureId::blob);
    let bundle = blob.map(|blob| cache.closure(&blob)).transpose().map_err(failed)?.flatten();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let answer = runtime.block_on(desk::answer(&activator, bundle, request));
    remembered.set_resources(activator.statuses().snapshot());
    let mut file = SnapshotFile::new(state_dir, loaded.snapshot);
    file.save(&remembered, clock::wall()).map_err(failed)?;
    Ok(answer)
}
