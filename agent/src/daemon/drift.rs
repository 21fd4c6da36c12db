//! Looking now and then whether the host is still as the running closure says.
//!
//! Only while the host is converged, and never while something is being activated: whoever may change
//! resources holds the shell's `hands`.
//! Not here: what differs and how it is put right (see [`crate::resources::drift`]).

use std::collections::BTreeMap;
use std::time::Duration;

use wavegate_proto::event::{Event, cut_text};
use wavegate_proto::ids::{ClosureId, ResourceId};
use wavegate_proto::wire::resource::Drift;
use wavegate_state_machine::agent::AgentInput;

use super::inbox::Stopped;
use super::shell::Shell;
use crate::resources::drift::{Correction, Finding};

/// Looks until the agent stops.
pub(super) async fn run(shell: &Shell, interval: Duration) -> Result<(), Stopped> {
    let mut known = BTreeMap::new();
    loop {
        tokio::time::sleep(interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        let events = {
            let _alone = shell.hands.lock().await;
            look(shell, &mut known).await
        };
        for event in events {
            shell.inbox.tell(AgentInput::ResourceObserved { event }).await?;
        }
    }
}

/// The closure that runs and has converged, by the journal and by the system.
fn steady_closure(shell: &Shell) -> Option<ClosureId> {
    let converged = shell.inbox.view().borrow().converged.clone()?;
    let current = shell.activator.current().ok().flatten()?;
    (converged == current).then_some(current)
}

async fn look(shell: &Shell, known: &mut BTreeMap<ResourceId, Drift>) -> Vec<Event> {
    let Some(closure) = steady_closure(shell) else {
        known.clear();
        return Vec::new();
    };
    let bundle = match shell.bundle(&closure) {
        Ok(Some(bundle)) => bundle,
        Ok(None) => return Vec::new(),
        Err(error) => {
            tracing::error!(%closure, %error, "degraded: drift not looked for");
            return Vec::new();
        }
    };
    let findings = shell.activator.observe_all(&bundle).await;
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
