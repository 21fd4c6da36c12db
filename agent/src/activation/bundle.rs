//! The backend for `sha256:` closures: the resource engine, then taking away what is left over.
//!
//! Not here: how resources are worked on (see `resources`).

use std::sync::Arc;

use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::event::FailureClass;
use wavegate_proto::wire::resource::ActorSource;

use super::backend::{Backend, Failure, Order};
use super::charge;
use crate::resources::engine::{Engine, Pass};
use crate::resources::host::Host;
use crate::resources::{Sweep, collect};

pub(super) struct BundleBackend<'a> {
    pub(super) engine: &'a Engine,
    pub(super) host: &'a Arc<Host>,
}

impl Backend for BundleBackend<'_> {
    async fn bring_about(&self, order: Order) -> Result<(), Failure> {
        match order.bundle {
            Some(ref bundle) => self.run(Arc::clone(bundle), order).await,
            None => self.clear().await,
        }
    }
}

impl BundleBackend<'_> {
    /// Left-overs go last, so that a failure on the way leaves them to the prior closure; only what
    /// stands in the way goes first.
    async fn run(&self, bundle: Arc<Bundle>, order: Order) -> Result<(), Failure> {
        let charge = charge(&bundle, ActorSource::Release);
        self.engine.check(&bundle, &charge)?;
        let statuses = self.engine.statuses();
        collect(self.host, statuses, &charge, &bundle, Sweep::InTheWay).await?;
        let pass = Pass {
            bundle: Arc::clone(&bundle),
            charge: charge.clone(),
            direction: order.direction,
            limits: order.limits,
            satisfied: order.satisfied,
            only: None,
        };
        self.engine.run(pass).await?;
        collect(self.host, statuses, &charge, &bundle, Sweep::Rest).await?;
        Ok(())
    }

    async fn clear(&self) -> Result<(), Failure> {
        if self.host.owned().is_lost() {
            return Err(Failure {
                class: FailureClass::Host,
                reason: "owned-list-lost".to_owned(),
                detail: "the list of what is ours is missing or damaged: nothing is deleted"
                    .to_owned(),
            });
        }
        let nothing = Bundle {
            schema_version: 1,
            profile: String::new(),
            max_parallel: 1,
            resources: Vec::new(),
            probes: Vec::new(),
        };
        let charge = charge(&nothing, ActorSource::Release);
        collect(self.host, self.engine.statuses(), &charge, &nothing, Sweep::Everything).await?;
        Ok(())
    }
}
