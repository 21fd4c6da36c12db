//! Making a closure run, and going back.
//!
//! The backend is chosen by the sort of closure. Going back is activating the prior closure by its
//! own identity; going back to nothing takes away what is ours and puts back what it replaced.
//! Not here: whether to do either (the agent's decisions), fetching (the cache is filled before).

mod backend;
mod bundle;
mod by_hand;
mod nixos;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, watch};
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::{ClosureId, ResourceId};
use wavegate_proto::wire::agent::ResourceRef;
use wavegate_proto::wire::resource::{Actor, ActorSource};
use wavegate_state_machine::agent::OneWay;

pub use backend::{ActivationOutcome, Failure};
pub use nixos::NixosSettings;

use crate::cache::Cache;
use crate::current::Current;
use crate::own_program::OwnProgram;
use crate::probes::CheckRunner;
use crate::resources::change::PassKind;
use crate::resources::drift::{Correction, Corrections, Finding};
use crate::resources::engine::{Direction, Engine, Limits};
use crate::resources::error::{Doing as _, ResourceError};
use crate::resources::host::{Host, HostSettings, OpenHostError};
use crate::resources::status::{Charge, StatusChange, Statuses};
use crate::resources::steps::{Steps, Unhindered};
use crate::resources::watch::Signals;
use backend::{Backend as _, Brought, Order};
use bundle::BundleBackend;
use nixos::{Nixos, NixosBackend};

/// Where an activator works.
#[derive(Debug)]
pub struct Setup {
    /// What a bundle's `/` stands for.
    pub root: PathBuf,
    /// The agent's own folder.
    pub state_dir: PathBuf,
    /// Closures and assets.
    pub cache: Arc<Cache>,
    /// Makes the checks of health gates.
    pub checks: Arc<dyn CheckRunner>,
    /// Told of every change before it happens.
    pub steps: Arc<dyn Steps>,
    /// What the host's own configuration lets bundles do.
    pub settings: HostSettings,
    /// How this host is switched, if it is a NixOS system; such a one takes no bundles.
    pub nixos: Option<NixosSettings>,
    /// The agent's own program, where another may take its place.
    pub own: Option<Arc<OwnProgram>>,
}

/// Activates closures on this host, one at a time.
#[derive(Debug)]
pub struct Activator {
    engine: Engine,
    host: Arc<Host>,
    current: Current,
    nixos: Option<Nixos>,
    own: Option<Arc<OwnProgram>>,
    satisfied: watch::Sender<BTreeSet<ResourceRef>>,
    /// Held by whoever changes the host.
    busy: Mutex<Corrections>,
}

/// Why a correction of drift could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CorrectError {
    /// The bundle cannot be worked on.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The agent's own records cannot be written.
    #[error("record the correction: {0}")]
    Record(#[from] io::Error),
}

impl Activator {
    /// An activator, and the changes of statuses as they happen.
    ///
    /// # Errors
    /// When the root or the agent's own records cannot be read.
    pub fn open(
        setup: Setup,
    ) -> Result<(Self, mpsc::UnboundedReceiver<StatusChange>), OpenHostError> {
        let Setup { root, state_dir, cache, checks, steps, settings, nixos, own } = setup;
        let nixos = nixos.map(|nixos| Nixos::new(&nixos, &root, &state_dir, Arc::clone(&steps)));
        let clock = Arc::clone(&settings.clock);
        let host = Arc::new(Host::open(&root, &state_dir, cache, Arc::clone(&steps), settings)?);
        let (statuses, changes) = Statuses::new(clock);
        let engine = Engine::new(Arc::clone(&host), checks, Arc::new(statuses));
        let activator = Self {
            engine,
            host,
            current: Current::in_state_dir(&state_dir, steps),
            nixos,
            own,
            satisfied: watch::Sender::new(BTreeSet::new()),
            busy: Mutex::default(),
        };
        Ok((activator, changes))
    }

    /// What runs now, read from the system. `None`: nothing of ours.
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn current(&self) -> io::Result<Option<ClosureId>> {
        match &self.nixos {
            Some(nixos) => nixos.current().map(Some),
            None => self.current.read(),
        }
    }

    /// Whether this host can run a closure of this sort.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn supports(&self, closure: &ClosureId) -> Result<(), String> {
        match (closure, &self.nixos) {
            (ClosureId::StorePath(_), Some(_)) | (ClosureId::Bundle(_), None) => Ok(()),
            (ClosureId::StorePath(path), None) => {
                Err(format!("this host is not run with --nixos and takes bundles only, not {path}"))
            }
            (ClosureId::Bundle(_), Some(_)) => {
                Err(format!("this host is NixOS and takes store paths only, not {closure}"))
            }
        }
    }

    /// The statuses of all resources.
    #[must_use]
    pub fn statuses(&self) -> &Arc<Statuses> {
        self.engine.statuses()
    }

    /// What the running activation waits for on other hosts.
    #[must_use]
    pub fn awaiting(&self) -> watch::Receiver<Vec<ResourceRef>> {
        self.engine.awaiting()
    }

    /// Tells what other hosts have completed; replaces what was told before.
    pub fn set_satisfied(&self, satisfied: BTreeSet<ResourceRef>) {
        self.satisfied.send_replace(satisfied);
    }

    /// Makes `closure` run; to be awaited to its end. Repeating it after it was cut off at any point leads to the same end.
    /// `bundle` is its document; a store path has none.
    pub async fn activate(
        &self,
        closure: &ClosureId,
        bundle: Option<Arc<Bundle>>,
        limits: Limits,
    ) -> ActivationOutcome {
        let _alone = self.busy.lock().await;
        self.switch(Some(closure), bundle, (Direction::Forward, limits)).await
    }

    /// Goes back to `prior`, by its own identity; its document must be in the cache. `None`: to
    /// nothing of ours.
    pub async fn rollback(&self, prior: Option<&ClosureId>, limits: Limits) -> ActivationOutcome {
        let _alone = self.busy.lock().await;
        let bundle = match prior.and_then(ClosureId::blob) {
            None => None,
            Some(id) => match self.host.cache().closure(&id) {
                Ok(Some(bundle)) => Some(Arc::new(bundle)),
                Ok(None) => {
                    return self.untouched("it is not in the cache");
                }
                Err(error) => return self.untouched(&error.to_string()),
            },
        };
        self.switch(prior, bundle, (Direction::Back, limits)).await
    }

    /// What was begun on this host that cannot be undone.
    #[must_use]
    pub fn one_way(&self) -> OneWay {
        self.host.one_way().standing()
    }

    /// `bundle` has converged: going back leads to it from now on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn settle_one_way(&self, bundle: &Bundle) -> io::Result<()> {
        self.host.one_way().settle(bundle)
    }

    /// Looks at every resource of `bundle`; changes nothing on the host.
    pub async fn observe_all(&self, bundle: &Bundle) -> BTreeMap<ResourceId, Finding> {
        self.engine.observe_all(bundle, &charge(bundle, ActorSource::Drift)).await
    }

    /// Looks at these resources of `bundle` and at nothing else; changes nothing on the host.
    pub async fn observe_some(
        &self,
        bundle: &Bundle,
        ids: &BTreeSet<ResourceId>,
    ) -> BTreeMap<ResourceId, Finding> {
        self.engine.observe_some(bundle, &charge(bundle, ActorSource::Drift), ids).await
    }

    /// The signals of this host; of nothing, until a bundle is followed.
    #[must_use]
    pub fn signals(&self) -> Signals {
        Signals::on(Arc::clone(&self.host))
    }

    /// Puts right what `findings` show as wrong, where the bundle wants that.
    ///
    /// # Errors
    /// When the bundle cannot be worked on, or the agent's own records cannot be written.
    pub async fn correct(
        &self,
        bundle: &Bundle,
        findings: &BTreeMap<ResourceId, Finding>,
    ) -> Result<BTreeMap<ResourceId, Correction>, CorrectError> {
        let mut corrections = self.busy.lock().await;
        self.host.mark().begin();
        let charge = charge(bundle, ActorSource::Drift);
        let done = corrections.correct(&self.engine, bundle, &charge, findings).await;
        self.host.mark().end(PassKind::Correction)?;
        Ok(done?)
    }

    async fn switch(
        &self,
        target: Option<&ClosureId>,
        bundle: Option<Arc<Bundle>>,
        (direction, limits): (Direction, Limits),
    ) -> ActivationOutcome {
        let order = Order { bundle, direction, limits, satisfied: self.satisfied.subscribe() };
        self.host.mark().begin();
        self.host.one_way().begin_pass();
        let done = match self.bring_about(target, order).await {
            Ok(_) if self.own.as_ref().is_some_and(|own| own.is_replaced()) => {
                return ActivationOutcome::ForTheNext;
            }
            Ok(brought) => self.conclude(target, brought),
            Err(failure) => Err(failure),
        };
        done.unwrap_or_else(|failure| self.failed(failure))
    }

    async fn bring_about(
        &self,
        target: Option<&ClosureId>,
        order: Order,
    ) -> Result<Brought, Failure> {
        if let Some(closure) = target {
            self.supports(closure).map_err(|detail| Failure {
                class: FailureClass::Policy,
                reason: "unsupported-backend".to_owned(),
                detail,
                exit_code: None,
            })?;
        }
        let host = &self.host;
        match (target, &self.nixos) {
            (Some(target), Some(nixos)) => {
                NixosBackend { nixos, host, target }.bring_about(order).await
            }
            (None, Some(_)) => Err(prior_missing("a system always runs something")),
            (Some(_) | None, None) => {
                BundleBackend { engine: &self.engine, host }.bring_about(order).await
            }
        }
    }

    /// What runs is recorded before the mark of a change is cleared: cut off in between, the next pass
    /// says "changed" once too often, never once too little.
    fn conclude(
        &self,
        target: Option<&ClosureId>,
        brought: Brought,
    ) -> Result<ActivationOutcome, Failure> {
        let changed = self.host.mark().changed();
        let act = ResourceError::io("record", "what runs now");
        let outcome = match brought {
            Brought::Running => {
                self.current.write(target).doing(act)?;
                ActivationOutcome::Complete { changed }
            }
            Brought::Staged { component } => ActivationOutcome::Deferred { component },
        };
        self.host.mark().settle().doing(act)?;
        Ok(outcome)
    }

    fn failed(&self, failure: Failure) -> ActivationOutcome {
        let changed = self.host.mark().changed();
        if let Err(error) = self.host.mark().end(PassKind::Activation) {
            tracing::warn!(%error, "mark of a change not cleared");
        }
        if !changed && let Err(error) = self.host.one_way().nothing_was_begun() {
            tracing::warn!(%error, "one-way steps that were not begun stay on their list");
        }
        let Failure { class, reason, detail, exit_code } = failure;
        ActivationOutcome::Failed { class, reason, changed, detail, exit_code }
    }

    fn untouched(&self, detail: &str) -> ActivationOutcome {
        self.host.mark().begin();
        self.failed(prior_missing(detail))
    }
}

fn prior_missing(detail: &str) -> Failure {
    Failure {
        class: FailureClass::Host,
        reason: "prior-missing".to_owned(),
        detail: format!("the closure to go back to: {detail}"),
        exit_code: None,
    }
}

/// The setup of an activator that works for real below `root`.
#[must_use]
pub fn live_setup(
    root: &Path,
    state_dir: &Path,
    cache: Arc<Cache>,
    checks: Arc<dyn CheckRunner>,
    settings: HostSettings,
) -> Setup {
    let (root, state_dir) = (root.to_owned(), state_dir.to_owned());
    let steps = Arc::new(Unhindered);
    Setup { root, state_dir, cache, checks, steps, settings, nixos: None, own: None }
}

fn charge(bundle: &Bundle, source: ActorSource) -> Charge {
    let actor = Actor { identity: "wavegate-agent".to_owned(), source };
    Charge { actor, profile: bundle.profile.clone() }
}
