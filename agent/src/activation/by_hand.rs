//! What a person on the host may do to the closure that runs: look, put right, start anew.
//!
//! Not here: changing which closure runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::Actor;

use super::{Activator, Failure};
use crate::resources::change::PassKind;
use crate::resources::engine::{Direction, Limits, Pass};
use crate::resources::error::{Doing as _, ResourceError};
use crate::resources::plan::{Planned, looking};
use crate::resources::status::Charge;
use crate::resources::{Sweep, collect};

/// How long a pass that a person asked for may take.
const LIMITS: Limits =
    Limits { activation: Duration::from_secs(15 * 60), awaiting: Duration::from_secs(60) };

impl Activator {
    /// What a pass over `bundle` would do; changes nothing.
    ///
    /// # Errors
    /// When the bundle cannot be worked on.
    pub async fn plan(
        &self,
        bundle: &Bundle,
        only: Option<&ResourceId>,
    ) -> Result<Vec<Planned>, ResourceError> {
        let satisfied = self.satisfied.borrow().clone();
        let charge = looking(bundle, "wavegate-agent");
        self.engine.plan(bundle, &charge, only, &satisfied).await
    }

    /// Brings everything of `bundle`, which runs, to its wanted state; with `only`, that resource and
    /// what it needs.
    ///
    /// # Errors
    /// The failure that came first.
    pub async fn reconcile(
        &self,
        bundle: Bundle,
        only: Option<ResourceId>,
        actor: Actor,
    ) -> Result<(), Failure> {
        let _alone = self.busy.lock().await;
        let charge = Charge { actor, profile: bundle.profile.clone() };
        let bundle = Arc::new(bundle);
        self.host.mark().begin();
        let is_whole = only.is_none();
        let pass = Pass {
            bundle: Arc::clone(&bundle),
            charge: charge.clone(),
            direction: Direction::Back,
            limits: LIMITS,
            satisfied: self.satisfied.subscribe(),
            only,
        };
        let mut done = self.engine.run(pass).await;
        if done.is_ok() && is_whole {
            let statuses = self.engine.statuses();
            done = collect(&self.host, statuses, &charge, &bundle, Sweep::Rest).await;
        }
        let act = ResourceError::io("record", "the pass");
        self.host.mark().end(PassKind::Correction).doing(act)?;
        Ok(done?)
    }

    /// Starts anew with a resource: its log, its failed corrections and the record of its job go. How
    /// many jobs were forgotten.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn reset(&self, id: &ResourceId, actor: Actor) -> io::Result<usize> {
        let forgotten = self.host.jobs().forget_those_of(id)?;
        self.engine.statuses().reset(id, actor);
        if let Ok(mut corrections) = self.busy.try_lock() {
            corrections.forget(id);
        }
        Ok(forgotten)
    }

    /// Whether something on the host is ours because of this resource.
    #[must_use]
    pub fn owns_for(&self, id: &ResourceId) -> bool {
        self.host.owned().entries().iter().any(|entry| entry.resource == *id)
    }
}
