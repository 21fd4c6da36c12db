//! Health gates: what must pass after a resource before its dependents start.
//!
//! At most `retries` checks inside `timeout`. The wait between checks is `max(timeout / retries,
//! 1 s)`; the first two waits as they are, each later one 1.5 times the one before.
//! Not here: how a check is made (see `probes`).

use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::artifact::bundle::HealthGate;
use wavegate_proto::event::ProbeOutcome;

use super::error::ResourceError;
use crate::probes::CheckRunner;

/// The longest one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait after the check of this number, counted from 1.
#[must_use]
pub fn wait_after(gate: &HealthGate, check: u32) -> Duration {
    let even = Duration::from_secs(gate.timeout_secs) / gate.retries.max(1);
    let base = even.max(Duration::from_secs(1));
    let longer = i32::try_from(check.saturating_sub(2)).unwrap_or(i32::MAX).min(32);
    base.mul_f64(1.5_f64.powi(longer))
}

/// Asks until the gate passes or its budget, or `deadline`, is used up. `note` is told of each check.
///
/// # Errors
/// When it did not pass.
pub async fn pass(
    gate: &HealthGate,
    checks: &dyn CheckRunner,
    deadline: Instant,
    mut note: impl FnMut(u32, ProbeOutcome),
) -> Result<(), ResourceError> {
    let own_end = Instant::now() + Duration::from_secs(gate.timeout_secs);
    let end = own_end.min(deadline);
    let mut last = "no check was made".to_owned();
    let mut attempts = 0;
    while attempts < gate.retries.max(1) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        attempts += 1;
        let result = checks.run(&gate.check, CHECK_TIMEOUT.min(left)).await;
        note(attempts, result.outcome);
        if result.outcome == ProbeOutcome::Pass {
            return Ok(());
        }
        last = result.reason.unwrap_or_else(|| "failed".to_owned());
        let wait = wait_after(gate, attempts);
        if attempts == gate.retries || Instant::now() + wait >= end {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    // Cut short by the activation's own end, the gate has not had its say about the artifact.
    if deadline < own_end && attempts < gate.retries {
        return Err(ResourceError::OutOfTime { last });
    }
    Err(ResourceError::GateFailed { attempts, last })
}
