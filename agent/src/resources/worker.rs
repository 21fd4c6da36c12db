//! Works on one resource: observe, reconcile, ask its gate; transient errors are tried again.
//!
//! Not here: when it may start (see `engine`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wavegate_proto::artifact::bundle::{Bundle, Resource};
use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::wire::resource::{Drift, Operation};

use super::engine::Direction;
use super::error::{ResourceError, Retry};
use super::gate;
use super::host::Host;
use super::kind;
use super::status::{Charge, Statuses};
use crate::probes::CheckRunner;

/// The first wait after a transient error.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Everything the work on one resource needs.
pub(crate) struct Worker {
    pub(crate) host: Arc<Host>,
    pub(crate) checks: Arc<dyn CheckRunner>,
    pub(crate) statuses: Arc<Statuses>,
    pub(crate) charge: Charge,
    pub(crate) direction: Direction,
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) resource: Resource,
    pub(crate) ends_at: Instant,
}

impl Worker {
    /// Does the work, gate included, and records its end when it is a good one.
    pub(crate) async fn work(self) -> Result<(), ResourceError> {
        let done = self.bring_about().await?;
        self.ask_gate().await?;
        let (id, kind) = (&self.resource.id, self.resource.spec.kind());
        self.statuses.completed(id, kind, &self.charge, done);
        Ok(())
    }

    async fn bring_about(&self) -> Result<(Operation, Value), ResourceError> {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.try_once().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if error.retry() == Retry::Never || Instant::now() + wait >= self.ends_at {
                return Err(error);
            }
            let source = self.charge.actor.source;
            self.statuses.note(&self.resource.id, source, format!("retry: {error}"));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn try_once(&self) -> Result<(Operation, Value), ResourceError> {
        let (id, kind) = (&self.resource.id, self.resource.spec.kind());
        let seen = kind::observe(&self.host, &self.bundle, &self.resource).await?;
        let expected = match seen.drift {
            Drift::Ok => Operation::None,
            Drift::Missing => Operation::Create,
            Drift::Changed | Drift::Orphaned => Operation::Update,
        };
        self.statuses.started(id, kind, &self.charge, expected);
        if expected != Operation::None {
            self.pass_one_way().await?;
        }
        // Also when nothing differs: an interrupted run may have left something to clear away.
        let operation = kind::reconcile(&self.host, &self.bundle, &self.resource).await?;
        if operation == Operation::None {
            return Ok((operation, seen.detail));
        }
        let after = kind::observe(&self.host, &self.bundle, &self.resource).await?;
        Ok((operation, after.detail))
    }

    /// A step that cannot be undone is written down before it begins.
    async fn pass_one_way(&self) -> Result<(), ResourceError> {
        if !self.resource.one_way || self.direction == Direction::Back {
            return Ok(());
        }
        let (host, resource) = (Arc::clone(&self.host), self.resource.clone());
        kind::on_thread(move || host.one_way().begin(&resource, host.now())).await
    }

    async fn ask_gate(&self) -> Result<(), ResourceError> {
        let Some(gate) = &self.resource.health_gate else { return Ok(()) };
        let source = self.charge.actor.source;
        let note = |check: u32, outcome: ProbeOutcome| {
            let word = match outcome {
                ProbeOutcome::Pass => "pass",
                ProbeOutcome::Fail => "fail",
            };
            self.statuses.note(&self.resource.id, source, format!("gate-check-{check}:{word}"));
        };
        gate::pass(gate, self.checks.as_ref(), self.ends_at, note).await
    }
}
