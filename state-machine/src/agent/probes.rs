//! Probes and the verdict: what a run of a probe means, when soak is over, when the host has failed.
//!
//! All durations are on the monotonic clock. A result counts only if a probe gave it to this process since
//! probing began; a snapshot's or an earlier process's pass is shown, and asked again (E4, E7).
//!
//! Not here: running probes (the agent's shell).

use std::collections::{BTreeMap, BTreeSet};

use wavegate_proto::event::{Event, ProbeOutcome, SubResult, cut_text};
use wavegate_proto::ids::{ProbeName, RolloutId};
use wavegate_proto::record::{HostRecord, HostState, ProbeMode, ProbeStatus};
use wavegate_proto::time::Mono;

use super::core::{AgentCore, Step};
use super::effect::AgentEffect;
use super::input::{Activated, ProbeSchedule, Verdict};
use super::track::Track;

/// How long a probe may stay silent beyond its interval and time-out, in seconds (E20).
const NO_RESULT_GRACE_SECS: u64 = 30;

/// The probes that run now, and what they have said since they began.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) rollout_id: RolloutId,
    /// When probing began in this process.
    started: Mono,
    /// When soak began; earlier than `started` after a restart in the same boot.
    soak_from: Mono,
    heard: BTreeSet<ProbeName>,
    /// Since when an enforce probe fails without a pass in between (E6).
    failing: BTreeMap<ProbeName, Mono>,
}

impl Session {
    /// When the silence of `probe` counts as a failure, if it has not been heard.
    fn silent_until(&self, probe: &ProbeSchedule) -> Option<Mono> {
        let awaited = probe.declared.mode == ProbeMode::Enforce
            && !self.heard.contains(&probe.declared.name)
            && !self.failing.contains_key(&probe.declared.name);
        let grace = NO_RESULT_GRACE_SECS
            .saturating_add(probe.interval_secs)
            .saturating_add(probe.timeout_secs);
        awaited.then(|| self.started.plus_secs(grace))
    }

    fn first_failing(&self) -> Option<Mono> {
        self.failing.values().min().copied()
    }

    /// Every enforce probe has reported in this session and its last result is a pass (E7).
    fn all_pass(&self, record: &HostRecord) -> bool {
        record.topology_known
            && record
                .probes
                .iter()
                .filter(|p| p.is_enforced())
                .all(|p| p.status == ProbeStatus::Pass && self.heard.contains(&p.name))
    }
}

impl AgentCore {
    /// Reports the declared probes where they are not known yet, and starts asking them.
    pub(super) fn begin_probing(&mut self, step: &mut Step<'_>, id: &RolloutId, soak_from: Mono) {
        let Some(track) = self.tracks.get(id) else { return };
        let probes = track.probes.clone();
        let declared: Vec<_> = probes.iter().map(|probe| probe.declared.clone()).collect();
        let known = |record: &HostRecord| {
            record.topology_known
                && record.probes.len() == declared.len()
                && declared.iter().all(|d| {
                    record
                        .probes
                        .iter()
                        .any(|p| p.name == d.name && p.kind == d.kind && p.mode == d.mode)
                })
        };
        let (closure, is_known) = (track.record.target_closure.clone(), known(&track.record));
        if !is_known && !self.append(step, id, Event::ProbeTopology { probes: declared }) {
            return;
        }
        self.session = Some(Session {
            rollout_id: id.clone(),
            started: step.now.mono,
            soak_from,
            heard: BTreeSet::new(),
            failing: BTreeMap::new(),
        });
        step.push(AgentEffect::StartProbes { rollout_id: id.clone(), closure, probes });
    }

    pub(super) fn stop_probes(&mut self, step: &mut Step<'_>) {
        if self.session.take().is_some() {
            step.push(AgentEffect::StopProbes);
        }
    }

    pub(super) fn probe_reported(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        (name, outcome, reason, sub_results): (
            ProbeName,
            ProbeOutcome,
            Option<String>,
            Vec<SubResult>,
        ),
    ) {
        let Some(session) = self.session.as_mut().filter(|s| s.rollout_id == *id) else {
            return step.log(format!("{id}: probe {name} is not running any more"));
        };
        let Some(track) = self.tracks.get(id) else { return };
        let Some(probe) = track.record.probes.iter().find(|p| p.name == name) else {
            return step.log(format!("{id}: probe {name} is not declared"));
        };
        session.heard.insert(name.clone());
        match outcome {
            ProbeOutcome::Pass => {
                session.failing.remove(&name);
            }
            ProbeOutcome::Fail if probe.is_enforced() => {
                session.failing.entry(name.clone()).or_insert(step.now.mono);
            }
            ProbeOutcome::Fail => {}
        }
        // Changes become events; steady results do not.
        if probe.status != ProbeStatus::from(outcome) {
            let (mode, reason) = (probe.mode, reason.map(cut_text));
            let event = Event::ProbeResult { name, mode, status: outcome, reason, sub_results };
            self.append(step, id, event);
        }
    }

    /// Looks at what the probes have said and how long it has been so, and draws the conclusion.
    pub(super) fn judge_health(&mut self, step: &mut Step<'_>) {
        let Some(id) = self.session.as_ref().map(|session| session.rollout_id.clone()) else {
            return;
        };
        self.count_silence(step, &id);
        let (Some(session), Some(track)) = (&self.session, self.tracks.get(&id)) else { return };
        let failing_secs = session.first_failing().map(|since| step.now.mono.secs_since(since));
        let all_pass = session.all_pass(&track.record);
        let soaked_secs = step.now.mono.secs_since(session.soak_from);
        match track.record.state {
            HostState::Soaking => self.judge_soak(step, &id, failing_secs, (all_pass, soaked_secs)),
            HostState::Converged => self.judge_converged(step, &id, failing_secs, all_pass),
            HostState::Pending
            | HostState::Activating
            | HostState::Deferred
            | HostState::Failed
            | HostState::Reverted
            | HostState::Skipped => {}
        }
    }

    /// E20: an enforce probe without a result counts as failing, so that soaking always ends.
    fn count_silence(&mut self, step: &mut Step<'_>, id: &RolloutId) {
        let (Some(session), Some(track)) = (&mut self.session, self.tracks.get(id)) else { return };
        let mut events = Vec::new();
        for probe in &track.probes {
            let Some(until) = session.silent_until(probe) else { continue };
            if step.now.mono < until {
                continue;
            }
            let name = probe.declared.name.clone();
            session.failing.insert(name.clone(), step.now.mono);
            let known = track.record.probes.iter().find(|p| p.name == name);
            if known.is_some_and(|p| p.status != ProbeStatus::Fail) {
                events.push(Event::ProbeResult {
                    name,
                    mode: probe.declared.mode,
                    status: ProbeOutcome::Fail,
                    reason: Some("no-result".to_owned()),
                    sub_results: Vec::new(),
                });
            }
        }
        for event in events {
            self.append(step, id, event);
        }
    }

    fn judge_soak(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        failing_secs: Option<u64>,
        (all_pass, soaked_secs): (bool, u64),
    ) {
        let Some(track) = self.tracks.get(id) else { return };
        let Some(plan) = &track.plan else { return };
        let policy = plan.header.policy.on_health_failure;
        let (soak_secs, threshold_secs) = limits(track);
        let checks = plan.entry.checks;
        if let Some(sustained_secs) = failing_secs.filter(|secs| *secs >= threshold_secs) {
            let failing_probes = failing_names(&track.record);
            if self.append(step, id, Event::Failed { failing_probes, sustained_secs, policy }) {
                self.stop_probes(step);
                self.settle_failure(step, id);
            }
        } else if all_pass && soaked_secs >= soak_secs {
            let closure = track.record.target_closure.clone();
            let event = Event::Converged { closure: closure.clone(), soaked_secs };
            if self.append(step, id, event) {
                self.leave_behind(step, &closure);
                let (rollout_id, verdict) = (id.clone(), Verdict::Converged);
                self.remember(step, Activated { closure, checks, rollout_id, verdict });
            }
        }
    }

    fn judge_converged(
        &mut self,
        step: &mut Step<'_>,
        id: &RolloutId,
        failing_secs: Option<u64>,
        all_pass: bool,
    ) {
        let Some(track) = self.tracks.get(id) else { return };
        let (_, threshold_secs) = limits(track);
        let degraded = track.record.degraded_since.is_some();
        if degraded && all_pass {
            self.append(step, id, Event::Recovered {});
        } else if !degraded && failing_secs.is_some_and(|secs| secs >= threshold_secs) {
            let failing_probes = failing_names(&track.record);
            self.append(step, id, Event::Degraded { failing_probes });
        }
    }

    /// When time alone may change the verdict.
    pub(super) fn verdict_due(&self, now: Mono) -> Vec<Mono> {
        let (Some(session), Some(track)) = (
            self.session.as_ref(),
            self.session.as_ref().and_then(|session| self.tracks.get(&session.rollout_id)),
        ) else {
            return Vec::new();
        };
        let (soak_secs, threshold_secs) = limits(track);
        let mut due: Vec<Mono> =
            track.probes.iter().filter_map(|probe| session.silent_until(probe)).collect();
        due.extend(session.first_failing().map(|since| since.plus_secs(threshold_secs)));
        if track.record.state == HostState::Soaking {
            due.push(session.soak_from.plus_secs(soak_secs));
        }
        due.retain(|at| *at > now);
        due
    }
}

/// Soak and failure threshold of a rollout on this host, in seconds.
fn limits(track: &Track) -> (u64, u64) {
    let ctx = track.context(crate::host::Lease::None, crate::host::Origin::Live);
    (ctx.soak_secs, ctx.failure_threshold_secs)
}

fn failing_names(record: &HostRecord) -> Vec<ProbeName> {
    record.failing_enforce_probes().map(|p| p.name.clone()).collect()
}
