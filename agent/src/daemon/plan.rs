//! Fetching what the signed plan says about this host, and verifying it.
//!
//! Not here: the rules (`wavegate_proto::artifact`), whether to follow the plan (the core).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::artifact::proof::{HostPlan, verify_rollout_proof};
use wavegate_proto::artifact::rules::{Freshness, RuleCode, SerialFloor, VerifyContext, Violation};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{HostName, RolloutId};
use wavegate_proto::trust::chain::TrustChain;
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_state_machine::agent::{AgentInput, OfferedPlan, ProbeSchedule, Rejection};

use super::shell::Shell;
use crate::client::ClientError;
use crate::clock;

/// How long a bootstrap may take to fetch a plan and its closure.
const BOOTSTRAP_TIME: Duration = Duration::from_secs(60);

/// How soon to look again what runs, after that could not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Verifies history: neither freshness nor the serial counts, and the keys of its time do.
pub(super) fn verify_history(
    trust: &TrustChain,
    host: &HostName,
    proof: &RolloutProof,
) -> Result<Verified<HostPlan>, Violation> {
    let (now, floor, freshness) = (clock::wall(), SerialFloor::default(), Freshness::Ignored);
    trust.verify_history(|trust| {
        verify_rollout_proof(proof, host, &VerifyContext { trust, now, floor, freshness })
    })
}

impl Shell {
    /// The plan of a dispatch, verified by every rule, or the rule it breaks.
    ///
    /// # Errors
    /// When the control plane cannot be asked: that says nothing about the plan.
    pub(super) async fn dispatched_plan(
        &self,
        id: &RolloutId,
    ) -> Result<Result<OfferedPlan, Rejection>, ClientError> {
        let proof = match self.control_plane.rollout_proof(id).await {
            Ok(proof) => proof,
            Err(error) => return malformed(error).map(Err),
        };
        let floor = self.inbox.view().borrow().floor;
        let (chain, now) = (self.trust(), self.clock.wall());
        let trust = chain.trust();
        let context = VerifyContext { trust, now, floor, freshness: Freshness::Enforced };
        let verified = verify_rollout_proof(&proof, &self.host, &context);
        if let Ok(plan) = &verified {
            self.clock.signed(plan.header.signed_at);
        }
        Ok(self.offered(proof, verified))
    }

    fn offered(
        &self,
        proof: RolloutProof,
        verified: Result<Verified<HostPlan>, Violation>,
    ) -> Result<OfferedPlan, Rejection> {
        let plan = verified.map_err(|violation| Rejection {
            reason: violation.code.as_str().to_owned(),
            detail: Some(violation.detail),
        })?;
        if let Err(detail) = self.activator.supports(&plan.entry.closure) {
            let reason = "unsupported-backend".to_owned();
            return Err(Rejection { reason, detail: Some(detail) });
        }
        let Some(document) = plan.entry.document() else {
            // A store path without checks has no probes.
            return Ok(OfferedPlan { plan, proof, probes: Some(Vec::new()) });
        };
        let bundle = self.document(Some(document)).unwrap_or_else(|error| {
            tracing::warn!(%error, "closure in the cache not usable");
            None
        });
        Ok(OfferedPlan { plan, proof, probes: bundle.as_ref().map(ProbeSchedule::of) })
    }
}

/// An answer that is no proof at all breaks a rule; no answer breaks none.
fn malformed(error: ClientError) -> Result<Rejection, ClientError> {
    let code = match &error {
        ClientError::TooLarge { .. } => RuleCode::TooLarge,
        ClientError::BadAnswer(_) => RuleCode::BadJson,
        ClientError::BadUrl(_)
        | ClientError::Tls(_)
        | ClientError::Unreachable(_)
        | ClientError::NotValidNow(_)
        | ClientError::Problem { .. }
        | ClientError::Status { .. }
        | ClientError::HashMismatch { .. }
        | ClientError::Store(_) => return Err(error),
    };
    Ok(Rejection { reason: code.as_str().to_owned(), detail: Some(error.to_string()) })
}

/// Fetches the plan of a rollout this host has no journal of, and its closure for the probes.
pub(super) async fn fetch_for_bootstrap(shell: Arc<Shell>, rollout_id: RolloutId) {
    let deadline = Instant::now() + BOOTSTRAP_TIME;
    let plan = match fetch_history(&shell, &rollout_id, deadline).await {
        Ok(plan) => plan,
        Err(error) => {
            Err(Rejection { reason: "fetch-failed".to_owned(), detail: Some(error.to_string()) })
        }
    };
    let current = loop {
        match shell.activator.current() {
            Ok(current) => break current,
            Err(error) => tracing::error!(%error, "degraded: what runs is not known"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    let _stopped = shell.inbox.tell(AgentInput::BootstrapPlan { rollout_id, plan, current }).await;
}

async fn fetch_history(
    shell: &Shell,
    id: &RolloutId,
    deadline: Instant,
) -> Result<Result<OfferedPlan, Rejection>, ClientError> {
    let mut backoff = shell.backoff();
    let proof = loop {
        match shell.control_plane.rollout_proof(id).await {
            Ok(proof) => break proof,
            Err(error) => {
                let wait = backoff.after_error(&error);
                if error.problem().is_some() || Instant::now() + wait >= deadline {
                    return malformed(error).map(Err);
                }
                tokio::time::sleep(wait).await;
            }
        }
    };
    let verified = verify_history(&shell.trust(), &shell.host, &proof);
    if let Some(blob) = verified.as_ref().ok().and_then(|plan| plan.entry.document())
        && let Err(failure) = shell.fetch_closure(blob, deadline).await
    {
        tracing::warn!(rollout = %id, detail = failure.detail, "closure not at hand");
    }
    Ok(shell.offered(proof, verified))
}
