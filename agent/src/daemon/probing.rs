//! The probes of the closure that is being watched: one session at a time.
//!
//! Not here: asking (see [`crate::probes`]), what a result counts for (the core).

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wavegate_proto::artifact::bundle::Probe;
use wavegate_proto::ids::{ClosureId, RolloutId};
use wavegate_state_machine::agent::AgentInput;

use super::shell::Shell;
use crate::clock;
use crate::probes::Scheduler;
use crate::snapshot::ProbeSample;

/// Reports that wait for the reducer.
const WAITING_REPORTS: usize = 64;

/// Probes at work; dropped, they stop.
pub(super) struct ProbeSession {
    task: AbortHandle,
}

impl Drop for ProbeSession {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn start(shell: Arc<Shell>, rollout_id: RolloutId, closure: ClosureId) -> ProbeSession {
    ProbeSession { task: tokio::spawn(run(shell, rollout_id, closure)).abort_handle() }
}

async fn run(shell: Arc<Shell>, rollout_id: RolloutId, closure: ClosureId) {
    let probes = probes_of(&shell, &closure).await;
    let (sender, mut reports) = mpsc::channel(WAITING_REPORTS);
    let _at_work = Scheduler::start(&closure, &probes, &shell.checks, &sender, fastrand::f64);
    while let Some(report) = reports.recv().await {
        let sample = ProbeSample {
            at: clock::wall(),
            status: report.outcome,
            reason: report.reason.clone(),
        };
        shell.memory.add_sample(report.name.clone(), sample);
        let input = AgentInput::ProbeReported {
            rollout_id: rollout_id.clone(),
            name: report.name,
            outcome: report.outcome,
            reason: report.reason,
            sub_results: report.sub_results,
        };
        if shell.inbox.tell(input).await.is_err() {
            return;
        }
    }
}

/// The declared probes; a closure that was lost from the cache is fetched again.
async fn probes_of(shell: &Shell, closure: &ClosureId) -> Vec<Probe> {
    let Some(blob) = closure.blob() else { return Vec::new() };
    let mut backoff = shell.backoff();
    loop {
        match shell.bundle(closure) {
            Ok(Some(bundle)) => return bundle.probes,
            Ok(None) => {
                let patience = tokio::time::Instant::now() + *shell.pace.borrow();
                if let Ok(bundle) = shell.fetch_closure(blob, patience).await {
                    return bundle.probes;
                }
            }
            Err(error) => tracing::error!(%closure, %error, "probes not known"),
        }
        tokio::time::sleep(backoff.after_failure()).await;
    }
}
