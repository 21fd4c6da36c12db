//! From settings to everything that must be at hand before the agent can begin.
//!
//! Nothing is written before the lock is held and every file was found to be of a version this agent
//! knows.

use std::collections::BTreeSet;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use wavegate_proto::key_file::require_private;
use wavegate_proto::time_floor::TimeFloor;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::trust::chain::TrustChain;
use wavegate_state_machine::agent::{ProbeSchedule, Restored, StoredJournal};

use super::certificate::OwnCertificate;
use super::lock::{LockError, StateLock};
use super::plan::verify_history;
use crate::activation::{Activator, Setup, live_setup};
use crate::cache::Cache;
use crate::client::ControlPlane;
use crate::clock::{self, FloorClock};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::identity::Identity;
use crate::journal::{Journal, JournalError, RawJournal, Stored};
use crate::own_program::OwnProgram;
use crate::probes::{CheckRunner, LocalChecks, RootExec};
use crate::resources::host::HostSettings;
use crate::resources::status::StatusChange;
use crate::snapshot::{self, Snapshot, SnapshotError, SnapshotFile};
use crate::trust;

/// The most bytes of closures and assets that are kept.
const MAX_CACHE_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// Everything that was found.
pub(super) struct Start {
    pub(super) _lock: StateLock,
    pub(super) identity: Identity,
    pub(super) clock: FloorClock,
    pub(super) certificate: OwnCertificate,
    pub(super) trust: TrustChain,
    pub(super) control_plane: ControlPlane,
    pub(super) journal: Journal,
    pub(super) restored: Restored,
    pub(super) cache: Arc<Cache>,
    pub(super) checks: Arc<dyn CheckRunner>,
    pub(super) activator: Activator,
    pub(super) own: Option<Arc<OwnProgram>>,
    pub(super) changes: UnboundedReceiver<StatusChange>,
    pub(super) snapshot: Snapshot,
    pub(super) snapshot_file: SnapshotFile,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error)
}

fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, error)
}

/// Opens everything.
pub(super) fn start(settings: &Settings) -> Result<Start, Failure> {
    let pinned = trust::read_pinned(&settings.trust).map_err(usage)?;
    let mut certificate = identify(settings, pinned.trust())?;
    let identity = certificate.identity().clone();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&settings.state_dir)
        .map_err(|e| failed(format!("make {}: {e}", settings.state_dir.display())))?;
    let lock = StateLock::take(&settings.state_dir).map_err(lock_failure)?;
    let loaded = snapshot::load(&settings.state_dir, clock::wall()).map_err(snapshot_failure)?;
    for complaint in &loaded.complaints {
        tracing::error!(complaint, "degraded: state.json");
    }
    let mut journal = Journal::open(&settings.state_dir).map_err(journal_failure)?;
    let floor = journal.time_floor().map_err(journal_failure)?.unwrap_or_default();
    let clock = FloorClock::new(TimeFloor::new(floor));
    warn_of_the_clock(&clock);
    let trust = trust::restore(&mut journal, pinned, clock.wall()).map_err(journal_failure)?;
    let credentials = certificate.judge_by(trust.trust(), &clock).map_err(failed)?;
    let control_plane = ControlPlane::new(&settings.url, &credentials).map_err(usage)?;
    let stored = journal.load().map_err(journal_failure)?;
    let cache = open_cache(settings, &stored)?;
    let root_exec = if settings.allow_root_exec { RootExec::Allowed } else { RootExec::Refused };
    let checks: Arc<dyn CheckRunner> =
        Arc::new(LocalChecks::new(settings.root.clone(), root_exec).map_err(failed)?);
    let (root, state_dir) = (&settings.root, &settings.state_dir);
    let host = HostSettings {
        shell_jobs: settings.shell_jobs,
        clock: Arc::new(clock::wall),
        systemd_bus: settings.systemd_bus.clone(),
        container_sockets: settings.container_sockets.clone(),
        reach: Some(Arc::new(control_plane.clone())),
    };
    let setup = live_setup(root, state_dir, cache.clone(), checks.clone(), host);
    let own = settings.supervised.clone().map(OwnProgram::new).map(Arc::new);
    let setup = Setup { nixos: settings.nixos.clone(), own: own.clone(), ..setup };
    let (activator, changes) = Activator::open(setup).map_err(failed)?;
    let restored = restore(&identity, &trust, &cache, &activator, stored)?;
    let snapshot = loaded.snapshot.clone().unwrap_or_default();
    activator.statuses().restore(snapshot.tracked());
    Ok(Start {
        _lock: lock,
        identity,
        clock,
        certificate,
        trust,
        control_plane,
        journal,
        restored,
        cache,
        checks,
        activator,
        own,
        changes,
        snapshot,
        snapshot_file: SnapshotFile::new(&settings.state_dir, loaded.snapshot),
    })
}

/// Who we are, and how we prove it.
fn identify(settings: &Settings, trust: &TrustFile) -> Result<OwnCertificate, Failure> {
    if !settings.cert.exists() {
        let cert = settings.cert.display();
        return Err(usage(format!("start: there is no certificate at {cert}"))
            .hint("join the fleet with --token-file, or give --cert and --key"));
    }
    require_private_key(&settings.key)?;
    let certificate = OwnCertificate::read(settings, trust).map_err(usage)?;
    let identity = certificate.identity();
    if identity.fleet != trust.fleet {
        let message = format!(
            "match the certificate with the trust file: {} is a host of fleet {}, trusted is {}",
            identity.host, identity.fleet, trust.fleet
        );
        return Err(usage(message).hint("give the trust file and the certificate of one fleet"));
    }
    Ok(certificate)
}

fn warn_of_the_clock(clock: &FloorClock) {
    if let Some(behind_secs) = clock.floor().behind_secs(clock::wall()) {
        tracing::error!(behind_secs, known = %clock.floor().at(), "the clock of this host is behind the time that is known to have been; that one is judged by");
    }
}

/// A key that others may read is no proof of who we are. A key that is not there is found out next.
fn require_private_key(key: &Path) -> Result<(), Failure> {
    let Ok(meta) = std::fs::metadata(key) else { return Ok(()) };
    require_private(meta.permissions().mode()).map_err(|exposed| {
        usage(format!("use {}: {exposed}", key.display()))
            .hint(format!("chmod 600 {}", key.display()))
    })
}

fn open_cache(settings: &Settings, stored: &Stored) -> Result<Arc<Cache>, Failure> {
    // Everything ever activated is kept until the decisions say what is in use.
    let pinned: BTreeSet<_> =
        stored.activated.iter().filter_map(|a| a.closure.blob().or(a.checks)).collect();
    Cache::open(&settings.state_dir, MAX_CACHE_BYTES, pinned).map(Arc::new).map_err(failed)
}

fn restore(
    identity: &Identity,
    trust: &TrustChain,
    cache: &Cache,
    activator: &Activator,
    stored: Stored,
) -> Result<Restored, Failure> {
    let current = activator.current().map_err(|e| failed(format!("find out what runs: {e}")))?;
    let journals = stored.journals.into_iter();
    let journals = journals.map(|journal| verified(identity, trust, cache, journal)).collect();
    Ok(Restored {
        host: identity.host.clone(),
        boot_id: clock::boot_id().map_err(|e| failed(format!("find out which boot: {e}")))?,
        meta: stored.meta,
        journals,
        activated: stored.activated,
        rejected: stored.rejected,
        current,
        one_way: activator.one_way(),
    })
}

/// A journal with its plan verified again.
fn verified(
    identity: &Identity,
    trust: &TrustChain,
    cache: &Cache,
    journal: RawJournal,
) -> StoredJournal {
    let RawJournal { rollout_id, journal_id, proof, entries } = journal;
    let plan = proof.as_ref().and_then(|proof| {
        verify_history(trust, &identity.host, proof)
            .inspect_err(|e| tracing::error!(rollout = %rollout_id, %e, "plan no longer verifies"))
            .ok()
    });
    let document = plan.as_ref().and_then(|plan| plan.entry.document());
    let bundle = document.and_then(|blob| {
        cache
            .closure(&blob)
            .inspect_err(|e| tracing::error!(%blob, %e, "closure in the cache not usable"))
            .ok()
            .flatten()
    });
    let probes = bundle.as_ref().map(ProbeSchedule::of).unwrap_or_default();
    StoredJournal { rollout_id, journal_id, proof, plan, probes, entries }
}

fn lock_failure(error: LockError) -> Failure {
    match error {
        LockError::Held => Failure::new(Exit::StateUnusable, error)
            .hint("stop the other agent, or give this one another --state-dir"),
        LockError::Io(_) => failed(error),
    }
}

fn snapshot_failure(error: SnapshotError) -> Failure {
    match error {
        SnapshotError::NewerVersion { .. } => Failure::new(Exit::StateUnusable, error)
            .hint("run the newer agent, or delete state.json: the journal has what counts"),
        SnapshotError::Io(_) => failed(error),
    }
}

fn journal_failure(error: JournalError) -> Failure {
    match error {
        JournalError::NewerVersion { .. } => {
            Failure::new(Exit::StateUnusable, error).hint("run the newer agent")
        }
        JournalError::DiskFull => Failure::new(Exit::CommitFailed, error),
        JournalError::JournalMode { .. }
        | JournalError::Sqlite(_)
        | JournalError::Migration(_)
        | JournalError::Damaged(_) => failed(error),
    }
}
