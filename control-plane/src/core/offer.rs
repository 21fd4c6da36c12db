//! Headers that hosts offer: history that a wiped database has lost. They open as superseded, so
//! nothing is ever dispatched from them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wavegate_proto::artifact::proof::HostPlan;
use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::ids::HostName;
use wavegate_proto::record::HostRecord;
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::placement::Placement;
use wavegate_reconciler::fleet::rollout::{Manifest, Rollout};

use super::log::{Actor, Fact};
use super::output::refuse;
use super::{Answer, Core, Token};

impl Core {
    pub(super) fn offer_rollout(
        &mut self,
        now: Now,
        host: &HostName,
        plan: &HostPlan,
        proof: &RolloutProof,
        reply: Token,
    ) {
        let answer = match self.take_offer(now, host, plan, proof) {
            Ok(()) => Answer::Offered,
            Err(problem) => {
                // What cannot be taken is not waited for either.
                if let Some(h) = self.fleet.hosts.get_mut(host) {
                    h.replays.remove(&plan.header.rollout_id());
                }
                self.reported(now, host);
                Answer::Problem(problem)
            }
        };
        self.reply(reply, answer);
    }

    fn take_offer(
        &mut self,
        now: Now,
        host: &HostName,
        plan: &HostPlan,
        proof: &RolloutProof,
    ) -> Result<(), Box<Problem>> {
        self.expect_member(host)?;
        let id = plan.header.rollout_id();
        match self.fleet.rollouts.get(&id) {
            Some(known) if known.manifest.content_id != plan.content_id => {
                let detail = format!("{id} is known with other content");
                return Err(refuse(ProblemCode::Rule(RuleCode::RefConflict), detail));
            }
            Some(_) => {}
            None => self.open_as_history(now, host, plan, proof)?,
        }
        if self.fleet.placement(&id, host).is_none() {
            let record = HostRecord::pending(
                id.clone(),
                host.clone(),
                plan.entry.wave,
                plan.entry.closure.clone(),
                now.wall,
            );
            self.fleet.add_placement(&id, host, Placement::new(plan.entry.clone(), record));
            let recovered = Fact::own(now, "host_recovered", json!({ "case": "header-offered" }));
            let log_seq = self.note(recovered.about(&id).on(host));
            self.save_placement(now, &id, host, log_seq);
        }
        Ok(())
    }

    /// G22: a header opens as history only if its serial is below the adopted one.
    fn open_as_history(
        &mut self,
        now: Now,
        host: &HostName,
        plan: &HostPlan,
        proof: &RolloutProof,
    ) -> Result<(), Box<Problem>> {
        let id = plan.header.rollout_id();
        let adopted = self.fleet.release.as_ref().map(|release| release.serial);
        if adopted.is_none_or(|adopted| plan.header.serial >= adopted) {
            let serial = plan.header.serial;
            let detail =
                format!("{id} is of release {serial}, which is not older than the adopted one");
            return Err(refuse(ProblemCode::Rule(RuleCode::RefConflict), detail));
        }
        let header_bytes = STANDARD
            .decode(&proof.header)
            .map_err(|_| refuse(ProblemCode::BadRequest, "the header is not base64"))?;
        let manifest = Arc::new(Manifest {
            header: plan.header.clone(),
            header_bytes,
            signatures: proof.signatures.clone(),
            content_id: plan.content_id,
        });
        let order = plan.header.serial.0;
        let current = self.fleet.channels.get(&id.channel).map(|c| c.rollout_id.clone());
        let mut rollout = Rollout::open(manifest, order, now.wall);
        rollout.state = RolloutState::Superseded;
        rollout.finished_at = Some(now.wall);
        rollout.superseded_by = current;
        self.fleet.add_rollout(rollout);
        self.fleet.retire_budgets(&id);
        let payload = json!({ "serial": plan.header.serial, "state": "superseded" });
        let fact = Fact::own(now, "rollout_opened", payload).about(&id).on(host);
        let log_seq = self.note(fact.by(Actor::Host(host.clone())));
        self.save_rollout(&id, log_seq);
        Ok(())
    }
}
