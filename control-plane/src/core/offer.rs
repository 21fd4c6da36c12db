//! Headers that hosts offer: history that a wiped database has lost. They open as superseded, so
//! nothing is ever dispatched from them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wavegate_proto::artifact::proof::HostPlan;
use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::ids::{HostName, LogSeq, RolloutId};
use wavegate_proto::time::Now;
use wavegate_proto::wire::agent::RolloutProof;
use wavegate_proto::wire::operator::RolloutState;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::NewerRelease;
use wavegate_reconciler::fleet::rollout::{Manifest, Rollout};

use super::log::{Actor, Fact};
use super::output::refuse;
use super::payload::{HostRecovered, RolloutOffered, logged};
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
        self.expect_not_pruned(&id)?;
        match self.fleet.rollouts.get(&id) {
            Some(known) if known.manifest.content_id != plan.content_id => {
                let detail = format!("{id} is known with other content");
                return Err(refuse(ProblemCode::Rule(RuleCode::RefConflict), detail));
            }
            Some(_) => {}
            None => self.open_as_history(now, host, plan, proof)?,
        }
        if self.fleet.placement(&id, host).is_none() {
            let recovered = HostRecovered {
                case: "header-offered".to_owned(),
                entry: Some(plan.entry.clone()),
            };
            let recovered = Fact::own(now, "host_recovered", logged(&recovered));
            let log_seq = self.note(recovered.about(&id).on(host));
            self.place_host(now, &id, plan.entry.clone(), log_seq);
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
            if adopted.is_some_and(|adopted| serial > adopted) {
                self.note_newer_release(now, host, plan, proof);
            }
            let detail =
                format!("{id} is of release {serial}, which is not older than the adopted one");
            return Err(refuse(ProblemCode::Rule(RuleCode::RefConflict), detail));
        }
        let header_bytes = STANDARD
            .decode(&proof.header)
            .map_err(|_| refuse(ProblemCode::BadRequest, "the header is not base64"))?;
        let manifest = Manifest {
            header: plan.header.clone(),
            header_bytes,
            signatures: proof.signatures.clone(),
            content_id: plan.content_id,
        };
        let current = self.fleet.channels.get(&id.channel).map(|c| c.rollout_id.clone());
        let offered = RolloutOffered {
            serial: plan.header.serial,
            content_id: plan.content_id,
            state: RolloutState::Superseded,
            superseded_by: current.clone(),
            header: proof.header.clone(),
            signatures: proof.signatures.clone(),
        };
        let fact = Fact::own(now, "rollout_opened", logged(&offered)).about(&id).on(host);
        let log_seq = self.note(fact.by(Actor::Host(host.clone())));
        self.add_history(now, manifest, current, log_seq);
        Ok(())
    }

    /// G10: a signed header of a newer release is evidence that this one is not the newest. It opens
    /// nothing, and nothing is dispatched until the newer one is here.
    fn note_newer_release(
        &mut self,
        now: Now,
        host: &HostName,
        plan: &HostPlan,
        proof: &RolloutProof,
    ) {
        let serial = plan.header.serial;
        if self.fleet.newer_release.as_ref().is_some_and(|known| known.serial >= serial) {
            return;
        }
        let payload = json!({
            "serial": serial, "header": proof.header, "signatures": proof.signatures,
        });
        let fact = Fact::own(now, "release_behind", payload).on(host);
        self.note(fact.by(Actor::Host(host.clone())));
        let newer = NewerRelease { serial, host: host.clone(), since: now.wall };
        self.fleet.newer_release = Some(newer);
    }

    /// Opens a rollout that is over.
    pub(super) fn add_history(
        &mut self,
        now: Now,
        manifest: Manifest,
        superseded_by: Option<RolloutId>,
        log_seq: LogSeq,
    ) {
        let order = manifest.header.serial.0;
        let mut rollout = Rollout::open(Arc::new(manifest), order, now.wall);
        let id = rollout.id.clone();
        rollout.state = RolloutState::Superseded;
        rollout.finished_at = Some(now.wall);
        rollout.superseded_by = superseded_by;
        self.fleet.add_rollout(rollout);
        self.fleet.retire_budgets(&id);
        self.save_rollout(&id, log_seq);
    }
}
