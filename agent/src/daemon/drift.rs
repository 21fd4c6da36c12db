//! Looking now and then, and where a signal came, whether the host is still as the running closure says.
//!
//! Only while the host is converged, and never while something is being activated: whoever may change
//! resources holds the shell's `hands`.
//! Not here: when to look (see [`super::looks`]), what differs and how it is put right (see
//! [`crate::resources::drift`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::event::{Event, cut_text};
use wavegate_proto::ids::{ClosureId, ResourceId};
use wavegate_proto::wire::resource::Drift;
use wavegate_state_machine::agent::AgentInput;

use super::inbox::Stopped;
use super::looks::{Looks, Scope};
use super::shell::Shell;
use crate::clock;
use crate::resources::drift::{Correction, Finding};
use crate::resources::watch::{Signals, Touched};

/// Looks until the agent stops.
pub(super) async fn run(shell: &Shell, interval: Duration) -> Result<(), Stopped> {
    let mut view = shell.inbox.view();
    let mut watch = Watch {
        shell,
        known: BTreeMap::new(),
        signals: shell.activator.signals(),
        followed: None,
        looks: Looks::new(clock::mono(), jittered(interval)),
    };
    watch.follow().await;
    loop {
        let wait = watch.looks.next_at().millis_since(clock::mono());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            touched = watch.signals.next() => watch.looks.touched(clock::mono(), touched),
            changed = view.changed() => {
                changed.map_err(|_reducer_gone| Stopped)?;
                watch.follow().await;
            }
        }
        if let Some(scope) = watch.looks.due(clock::mono(), jittered(interval)) {
            let events = watch.look(&scope).await;
            let has_corrected = events.iter().any(|e| matches!(e, Event::DriftCorrected { .. }));
            for event in events {
                shell.inbox.tell(AgentInput::ResourceObserved { event }).await?;
            }
            if has_corrected && shell.is_replaced() {
                shell.make_way();
                return Ok(());
            }
        }
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}

struct Watch<'a> {
    shell: &'a Shell,
    known: BTreeMap<ResourceId, Drift>,
    signals: Signals,
    /// The closure whose signals are listened to.
    followed: Option<ClosureId>,
    looks: Looks,
}

impl Watch<'_> {
    /// The closure that runs and has converged, by the journal and by the system.
    fn steady_closure(&self) -> Option<ClosureId> {
        let converged = self.shell.inbox.view().borrow().converged.clone()?;
        let current = self.shell.activator.current().ok().flatten()?;
        (converged == current).then_some(current)
    }

    /// Its document; `None`: nothing is steady, or it has none.
    fn steady_bundle(&self) -> Option<(ClosureId, Bundle)> {
        let closure = self.steady_closure()?;
        match self.shell.bundle(&closure) {
            Ok(bundle) => bundle.map(|bundle| (closure, bundle)),
            Err(error) => {
                tracing::error!(%closure, %error, "degraded: drift not looked for");
                None
            }
        }
    }

    /// Listens to what concerns the closure that runs, from the moment on at which it is steady. What changed before
    /// that is found by a look.
    async fn follow(&mut self) {
        if self.followed == self.steady_closure() {
            return;
        }
        self.known.clear();
        self.looks.forget_signals();
        let Some((closure, bundle)) = self.steady_bundle() else {
            self.signals.end();
            self.followed = None;
            return;
        };
        self.signals.follow(&bundle).await;
        self.followed = Some(closure);
        self.looks.touched(clock::mono(), BTreeSet::from([Touched::Everything]));
    }

    async fn look(&mut self, scope: &Scope) -> Vec<Event> {
        let shell = self.shell;
        let _alone = shell.hands.lock().await;
        self.follow().await;
        let Some((_, bundle)) = self.steady_bundle() else { return Vec::new() };
        // Folders may have come since, and what had ended may be there again.
        self.signals.follow(&bundle).await;
        let findings = match scope {
            Scope::Everything => shell.activator.observe_all(&bundle).await,
            Scope::Only(ids) => shell.activator.observe_some(&bundle, ids).await,
        };
        let known = &mut self.known;
        let mut events = news(&findings, known);
        match shell.activator.correct(&bundle, &findings).await {
            Ok(corrections) => {
                for (id, correction) in corrections {
                    events.extend(corrected(id, &correction, known));
                }
            }
            Err(error) => tracing::error!(%error, "degraded: drift not corrected"),
        }
        events
    }
}

/// What differs otherwise than it did the last time.
fn news(
    findings: &BTreeMap<ResourceId, Finding>,
    known: &mut BTreeMap<ResourceId, Drift>,
) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, finding) in findings {
        match finding {
            Finding::Seen { drift: Drift::Ok, .. } => {
                known.remove(id);
            }
            Finding::Seen { drift, detail, .. } => {
                if known.insert(id.clone(), *drift) != Some(*drift) {
                    tracing::warn!(resource = %id, ?drift, "drift");
                    let detail = Some(cut_text(detail.to_string()));
                    events.push(Event::DriftDetected { id: id.clone(), drift: *drift, detail });
                }
            }
            Finding::Unobservable { error } => {
                tracing::warn!(resource = %id, error, "could not be looked at");
            }
        }
    }
    events
}

fn corrected(
    id: ResourceId,
    correction: &Correction,
    known: &mut BTreeMap<ResourceId, Drift>,
) -> Option<Event> {
    match correction {
        Correction::Corrected { operation } => {
            known.remove(&id);
            tracing::info!(resource = %id, ?operation, "drift corrected");
            let result = serde_json::to_value(operation).ok()?;
            Some(Event::DriftCorrected { id, result: result.as_str()?.to_owned() })
        }
        Correction::Failed { error, retry_after } => {
            tracing::error!(resource = %id, error, %retry_after, "drift not corrected");
            None
        }
        Correction::Stalled { error, retry_after } => {
            tracing::error!(resource = %id, error, %retry_after, "stalled: drift not corrected");
            None
        }
        Correction::Reported | Correction::Waiting { .. } => None,
    }
}
