//! From an offered dispatch to an acknowledgement, a carry or a rejection.
//!
//! Nothing starts here: the acknowledgement must be accepted first (see [`super::activation`]).

use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::event::{Event, cut_text};
use wavegate_proto::ids::{ClosureId, RolloutId};
use wavegate_proto::record::HostRecord;
use wavegate_proto::time::Mono;
use wavegate_proto::wire::agent::Dispatch;

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::input::{Activated, OfferedPlan, Rejection, Verdict};
use super::track::PendingAck;
use crate::host::Lease;

fn rejection(reason: &str, detail: impl Into<String>) -> Rejection {
    Rejection { reason: reason.to_owned(), detail: Some(detail.into()) }
}

impl AgentCore {
    pub(super) fn dispatch_offered(
        &mut self,
        step: &mut Step<'_>,
        dispatch: &Dispatch,
        polled_at: Mono,
        plan: Result<OfferedPlan, Rejection>,
    ) {
        let id = &dispatch.rollout_id;
        if !self.wants_dispatch(step.now.mono) {
            step.log(format!("{id}: dispatch ignored: the host is busy"));
            return;
        }
        let offered = match plan {
            Ok(offered) => offered,
            Err(rejection) => return self.reject(step, dispatch, None, rejection),
        };
        if let Err(rejection) = self.check_plan(dispatch, &offered) {
            return self.reject(step, dispatch, None, rejection);
        }
        self.remember_serial(step, &offered);
        if let Err(rejection) = self.check_dispatch(dispatch, &offered) {
            return self.reject(step, dispatch, Some(offered), rejection);
        }
        let probes = offered.probes.clone();
        let checks = offered.plan.entry.checks;
        self.open_verified(step, id, offered);
        if dispatch.no_change {
            match self.unchanged(dispatch, checks) {
                Ok(from) if probes.is_some() => {
                    self.carry(step, dispatch, from, probes.unwrap_or_default());
                }
                Ok(_) => self.reject_unchanged(step, dispatch, "its probes are not at hand"),
                Err(detail) => self.reject_unchanged(step, dispatch, detail),
            }
        } else {
            self.acknowledge(step, dispatch, polled_at);
        }
    }

    /// Whether the verified plan is the one of this host and this rollout at all.
    fn check_plan(&self, dispatch: &Dispatch, offered: &OfferedPlan) -> Result<(), Rejection> {
        let plan = &offered.plan;
        if plan.entry.host != self.host {
            return Err(rejection(RuleCode::HostMismatch.as_str(), "the entry is of another host"));
        }
        if plan.header.rollout_id() != dispatch.rollout_id
            || dispatch.channel != dispatch.rollout_id.channel
        {
            return Err(rejection("not-dispatched-closure", "the plan is of another rollout"));
        }
        let known = self.tracks.get(&dispatch.rollout_id).and_then(|track| track.plan.as_ref());
        if known.is_some_and(|known| known.content_id != plan.content_id) {
            return Err(rejection(RuleCode::RefConflict.as_str(), "held here with other content"));
        }
        let serial = plan.header.serial;
        if serial < self.meta.serial {
            let detail = format!("serial {serial}, accepted before: {}", self.meta.serial);
            return Err(rejection(RuleCode::SerialRegressed.as_str(), detail));
        }
        let fleet = self.meta.fleet_sha256;
        if serial == self.meta.serial && fleet.is_some_and(|f| f != plan.header.fleet_sha256) {
            let detail = format!("serial {serial} is known with another fleet document");
            return Err(rejection(RuleCode::SerialConflict.as_str(), detail));
        }
        Ok(())
    }

    /// Whether the dispatch says what the signed plan says, and the host has no objection of its own.
    fn check_dispatch(&self, dispatch: &Dispatch, offered: &OfferedPlan) -> Result<(), Rejection> {
        let entry = &offered.plan.entry;
        if entry.closure != dispatch.target_closure {
            let detail = format!("the signed plan names {}", entry.closure);
            return Err(rejection("not-dispatched-closure", detail));
        }
        if entry.wave != dispatch.wave {
            return Err(rejection("wrong-wave", format!("the signed plan says {}", entry.wave)));
        }
        let channel = &dispatch.channel;
        if self.rejected.iter().any(|r| r.channel == *channel && r.closure == entry.closure) {
            return Err(rejection("quarantined-here", "it failed on this host"));
        }
        Ok(())
    }

    fn remember_serial(&mut self, step: &mut Step<'_>, offered: &OfferedPlan) {
        let header = &offered.plan.header;
        if header.serial > self.meta.serial || self.meta.fleet_sha256.is_none() {
            self.meta.serial = header.serial;
            self.meta.fleet_sha256 = Some(header.fleet_sha256);
            step.push(AgentEffect::SaveMeta(self.meta.clone()));
        }
    }

    fn reject(
        &mut self,
        step: &mut Step<'_>,
        dispatch: &Dispatch,
        offered: Option<OfferedPlan>,
        rejection: Rejection,
    ) {
        let id = &dispatch.rollout_id;
        match offered {
            Some(offered) => self.open_verified(step, id, offered),
            None => self.open_unverified(step, dispatch),
        }
        let Rejection { reason, detail } = rejection;
        let event =
            Event::DispatchReject { reason: cut_text(reason), detail: detail.map(cut_text) };
        self.append_leased(step, id, event, lease_of(dispatch));
    }

    fn reject_unchanged(&mut self, step: &mut Step<'_>, dispatch: &Dispatch, detail: &str) {
        let event = Event::DispatchReject {
            reason: "not-unchanged".to_owned(),
            detail: Some(detail.to_owned()),
        };
        self.append_leased(step, &dispatch.rollout_id, event, lease_of(dispatch));
    }

    /// The rollout in which this host converged on what it runs, if nothing has changed since (G23).
    fn unchanged(
        &self,
        dispatch: &Dispatch,
        checks: Option<wavegate_proto::ids::BlobId>,
    ) -> Result<RolloutId, &'static str> {
        let target = &dispatch.target_closure;
        if self.current.as_ref() != Some(target) {
            return Err("the host runs something else");
        }
        let Some(known) = self.activated.iter().find(|a| a.closure == *target) else {
            return Err("not activated by this agent");
        };
        if known.verdict != Verdict::Converged {
            return Err("never converged here");
        }
        if known.checks != checks {
            return Err("its checks are others");
        }
        let record = self.tracks.get(&known.rollout_id).map(|track| &track.record);
        let healthy = |r: &HostRecord| {
            r.degraded_since.is_none() && r.failing_enforce_probes().next().is_none()
        };
        if record.is_some_and(|r| !healthy(r)) {
            return Err("the host is degraded");
        }
        Ok(known.rollout_id.clone())
    }

    fn carry(
        &mut self,
        step: &mut Step<'_>,
        dispatch: &Dispatch,
        from_rollout: RolloutId,
        probes: Vec<super::input::ProbeSchedule>,
    ) {
        let event = Event::Carried {
            closure: dispatch.target_closure.clone(),
            from_rollout,
            probes: probes.iter().map(|probe| probe.declared.clone()).collect(),
        };
        if self.append_leased(step, &dispatch.rollout_id, event, lease_of(dispatch))
            && let Some(track) = self.tracks.get_mut(&dispatch.rollout_id)
        {
            track.probes = probes;
        }
    }

    fn acknowledge(&mut self, step: &mut Step<'_>, dispatch: &Dispatch, polled_at: Mono) {
        let id = &dispatch.rollout_id;
        let prior_closure = self.prior_for(id);
        let event =
            Event::DispatchAck { prior_closure: prior_closure.clone(), attempt: dispatch.attempt };
        let lease = lease_of(dispatch);
        if !self.append_leased(step, id, event, lease) {
            return self.reject_stale_attempt(step, dispatch);
        }
        if let Some(closure) = prior_closure
            && !self.activated.iter().any(|a| a.closure == closure)
        {
            // What ran before we came is a place to go back to, also after this journal is gone.
            let rollout_id = id.clone();
            let verdict = Verdict::Unproven;
            self.remember(step, Activated { closure, checks: None, rollout_id, verdict });
        }
        let length = dispatch.expires_at.unix_millis() - dispatch.issued_at.unix_millis();
        let deadline = polled_at.plus_millis(u64::try_from(length).unwrap_or(0));
        if let Some(track) = self.tracks.get_mut(id) {
            track.ack = Some(PendingAck { seq: track.last_seq(), deadline: Some(deadline) });
            track.own_prior = true;
        }
    }

    fn reject_stale_attempt(&mut self, step: &mut Step<'_>, dispatch: &Dispatch) {
        let event = Event::DispatchReject {
            reason: "attempt-not-later".to_owned(),
            detail: Some(format!("attempt {} was made before", dispatch.attempt)),
        };
        self.append_leased(step, &dispatch.rollout_id, event, lease_of(dispatch));
    }

    /// G9: what runs now if it has converged here, else the last that has; else what runs now, unless
    /// that is the target itself from an earlier attempt (A1).
    fn prior_for(&self, id: &RolloutId) -> Option<ClosureId> {
        let current = self.current.clone()?;
        let converged = |a: &&Activated| a.verdict == Verdict::Converged;
        if self.activated.iter().filter(converged).any(|a| a.closure == current) {
            return Some(current);
        }
        if let Some(last) = self.activated.iter().rfind(converged) {
            return Some(last.closure.clone());
        }
        let record = self.tracks.get(id).map(|track| &track.record);
        match record {
            Some(r) if r.attempt.0 > 0 && r.target_closure == current => r.prior_closure.clone(),
            Some(_) | None => Some(current),
        }
    }

    /// Puts a closure last in the table of those this agent has activated.
    pub(super) fn remember(&mut self, step: &mut Step<'_>, activated: Activated) {
        self.activated.retain(|a| a.closure != activated.closure);
        self.activated.push(activated.clone());
        step.push(AgentEffect::RememberActivated(activated));
    }
}

fn lease_of(dispatch: &Dispatch) -> Lease {
    Lease::Open {
        attempt: dispatch.attempt,
        no_change: dispatch.no_change,
        issued_at: dispatch.issued_at,
    }
}
