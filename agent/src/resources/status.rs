//! The status of every resource, with its log, and the changes as they happen.
//!
//! Not here: keeping it on disk (the agent's snapshot takes [`Statuses::snapshot`] and gives it back
//! with [`Statuses::restore`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;
use wavegate_proto::event::cut_text;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::resource::{
    Actor, ActorSource, Decision, Drift, MAX_RESOURCE_LOG, Operation, ResourceKind,
    ResourceLogEntry, ResourceState, ResourceStatus,
};

/// Reads the wall clock.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A resource's kind and status.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its status.
    pub status: ResourceStatus,
}

/// One change of a status; `status` is without its log.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusChange {
    /// The resource.
    pub id: ResourceId,
    /// Its kind.
    pub kind: ResourceKind,
    /// Its status from then on.
    pub status: ResourceStatus,
}

/// On whose behalf, and under which of the bundle's labels, a pass works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// On whose behalf.
    pub actor: Actor,
    /// The bundle's free label.
    pub profile: String,
}

/// The statuses of all resources.
pub struct Statuses {
    clock: WallClock,
    changes: mpsc::UnboundedSender<StatusChange>,
    tracked: Mutex<BTreeMap<ResourceId, Tracked>>,
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statuses").field("tracked", &*self.lock()).finish_non_exhaustive()
    }
}

impl Statuses {
    /// None yet. Changes can be read from the other end of the channel; their number is bounded by
    /// the work done, and a reader that is gone is no error.
    #[must_use]
    pub fn new(clock: WallClock) -> (Self, mpsc::UnboundedReceiver<StatusChange>) {
        let (changes, receiver) = mpsc::unbounded_channel();
        (Self { clock, changes, tracked: Mutex::default() }, receiver)
    }

    /// All of them, with logs.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<ResourceId, Tracked> {
        self.lock().clone()
    }

    /// Takes over what was saved. Nothing is announced.
    pub fn restore(&self, tracked: BTreeMap<ResourceId, Tracked>) {
        *self.lock() = tracked;
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whether a status is there, and which.
    #[must_use]
    pub fn state(&self, id: &ResourceId) -> Option<ResourceState> {
        self.lock().get(id).map(|tracked| tracked.status.status)
    }

    pub(crate) fn pending(&self, id: &ResourceId, kind: ResourceKind, charge: &Charge) {
        let before = self.state(id);
        let decision = match before {
            None => Decision::Run,
            Some(_) => Decision::Rerun,
        };
        self.update(id, kind, charge, None, |status| {
            move_to(status, ResourceState::Pending);
            status.decision = decision;
            status.error = None;
        });
    }

    pub(crate) fn blocked(&self, id: &ResourceId, kind: ResourceKind, c: &Charge, by: &str) {
        let same = self.lock().get(id).is_some_and(|tracked| {
            tracked.status.status == ResourceState::Blocked
                && tracked.status.blocker.as_deref() == Some(by)
        });
        if same {
            return;
        }
        self.update(id, kind, c, Some(format!("blocked-by:{by}")), |status| {
            move_to(status, ResourceState::Blocked);
            status.decision = Decision::Blocked;
            status.blocker = Some(by.to_owned());
        });
    }

    /// Clears a block that is over; nothing happens to one that is not blocked.
    pub(crate) fn unblocked(&self, id: &ResourceId, kind: ResourceKind, charge: &Charge) {
        if self.state(id) == Some(ResourceState::Blocked) {
            self.update(id, kind, charge, None, |status| {
                move_to(status, ResourceState::Pending);
                status.decision = Decision::Run;
            });
        }
    }

    pub(crate) fn started(
        &self,
        id: &ResourceId,
        kind: ResourceKind,
        charge: &Charge,
        operation: Operation,
    ) {
        let now = self.now();
        let decision = match (operation, self.state(id)) {
            (Operation::None, _) => Decision::Skip,
            (_, None | Some(ResourceState::Pending | ResourceState::Blocked)) => Decision::Run,
            (_, Some(_)) => Decision::Rerun,
        };
        self.update(id, kind, charge, Some("started".to_owned()), |status| {
            move_to(status, ResourceState::Running);
            status.decision = decision;
            status.operation = operation;
            status.started_at = Some(now);
            status.ended_at = None;
            status.error = None;
            status.retry_after = None;
        });
    }

    pub(crate) fn completed(
        &self,
        id: &ResourceId,
        kind: ResourceKind,
        charge: &Charge,
        (operation, detail): (Operation, Value),
    ) {
        let now = self.now();
        self.update(id, kind, charge, Some("completed".to_owned()), |status| {
            move_to(status, ResourceState::Completed);
            status.operation = operation;
            status.detail = detail;
            status.ended_at = Some(now);
            status.drift = Some(Drift::Ok);
        });
    }

    pub(crate) fn failed(&self, id: &ResourceId, kind: ResourceKind, c: &Charge, error: &str) {
        let now = self.now();
        self.update(id, kind, c, Some("failed".to_owned()), |status| {
            move_to(status, ResourceState::Failed);
            status.error = Some(cut_text(error.to_owned()));
            status.ended_at = Some(now);
        });
    }

    pub(crate) fn unknown(&self, id: &ResourceId, kind: ResourceKind, c: &Charge, error: &str) {
        self.update(id, kind, c, None, |status| {
            move_to(status, ResourceState::Unknown);
            status.error = Some(cut_text(error.to_owned()));
        });
    }

    pub(crate) fn deleted(&self, id: &ResourceId, kind: ResourceKind, charge: &Charge, note: &str) {
        let now = self.now();
        self.update(id, kind, charge, Some("deleted".to_owned()), |status| {
            move_to(status, ResourceState::Completed);
            status.operation = Operation::Delete;
            status.detail = Value::from(note);
            status.ended_at = Some(now);
            status.drift = None;
        });
    }

    /// Records what an observation showed; logs and announces it only when it is news.
    pub(crate) fn drifted(&self, id: &ResourceId, kind: ResourceKind, c: &Charge, drift: Drift) {
        let known = self.lock().get(id).and_then(|tracked| tracked.status.drift);
        if known == Some(drift) {
            return;
        }
        let event = (drift != Drift::Ok).then(|| "drift-detected".to_owned());
        self.update(id, kind, c, event, |status| status.drift = Some(drift));
    }

    pub(crate) fn corrected(&self, id: &ResourceId, kind: ResourceKind, c: &Charge, op: Operation) {
        self.update(id, kind, c, Some("drift-corrected".to_owned()), |status| {
            move_to(status, ResourceState::Completed);
            status.operation = op;
            status.drift = Some(Drift::Ok);
            status.error = None;
            status.retry_after = None;
        });
    }

    /// Sets when a failed correction is tried again.
    pub(crate) fn retry_at(&self, id: &ResourceId, kind: ResourceKind, c: &Charge, at: Timestamp) {
        self.update(id, kind, c, None, |status| status.retry_after = Some(at));
    }

    /// Somebody keeps changing it: it is left as it is for a while.
    pub(crate) fn stalled(
        &self,
        id: &ResourceId,
        kind: ResourceKind,
        charge: &Charge,
        (error, until): (&str, Timestamp),
    ) {
        self.update(id, kind, charge, Some("stalled".to_owned()), |status| {
            move_to(status, ResourceState::Failed);
            status.error = Some(cut_text(error.to_owned()));
            status.retry_after = Some(until);
        });
    }

    /// Adds an entry to a resource's log and changes nothing else.
    pub(crate) fn note(&self, id: &ResourceId, source: ActorSource, event: String) {
        let now = self.now();
        if let Some(tracked) = self.lock().get_mut(id) {
            log(&mut tracked.status, now, event, source);
        }
    }

    /// Starts anew: what was known goes, but for a log of this one entry.
    pub(crate) fn reset(&self, id: &ResourceId, actor: Actor) {
        let Some(Tracked { kind, status }) = self.lock().get(id).cloned() else { return };
        let charge = Charge { actor, profile: status.profile };
        self.update(id, kind, &charge, None, |status| {
            *status = new_status(status.since, &charge);
        });
        self.update(id, kind, &charge, Some("reset".to_owned()), |_| {});
    }

    /// Drops the record of something that is no longer there.
    pub fn forget(&self, id: &ResourceId) {
        self.lock().remove(id);
    }

    fn update(
        &self,
        id: &ResourceId,
        kind: ResourceKind,
        charge: &Charge,
        event: Option<String>,
        change: impl FnOnce(&mut ResourceStatus),
    ) {
        let now = self.now();
        let mut all = self.lock();
        let tracked = all
            .entry(id.clone())
            .or_insert_with(|| Tracked { kind, status: new_status(now, charge) });
        let before = tracked.status.status;
        tracked.kind = kind;
        tracked.status.actor = charge.actor.clone();
        tracked.status.profile.clone_from(&charge.profile);
        change(&mut tracked.status);
        if tracked.status.status != before {
            tracked.status.since = now;
        }
        if let Some(event) = event {
            log(&mut tracked.status, now, event, charge.actor.source);
        }
        let status = ResourceStatus { log: Vec::new(), ..tracked.status.clone() };
        // Nobody listening is fine: the statuses themselves are the record.
        let _ = self.changes.send(StatusChange { id: id.clone(), kind, status });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ResourceId, Tracked>> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn move_to(status: &mut ResourceStatus, state: ResourceState) {
    status.status = state;
    if state != ResourceState::Blocked {
        status.blocker = None;
    }
}

fn log(status: &mut ResourceStatus, ts: Timestamp, event: String, source: ActorSource) {
    let excess = (status.log.len() + 1).saturating_sub(MAX_RESOURCE_LOG);
    status.log.drain(..excess);
    status.log.push(ResourceLogEntry { ts, event, source });
}

fn new_status(now: Timestamp, charge: &Charge) -> ResourceStatus {
    ResourceStatus {
        status: ResourceState::Pending,
        since: now,
        operation: Operation::None,
        profile: charge.profile.clone(),
        actor: charge.actor.clone(),
        started_at: None,
        ended_at: None,
        blocker: None,
        error: None,
        retry_after: None,
        decision: Decision::Run,
        drift: None,
        detail: Value::Null,
        log: Vec::new(),
    }
}
