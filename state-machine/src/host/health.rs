//! Probes and the verdicts built on them: the part of the fold that asserts health.
//!
//! Absence of a result is not a pass: an enforce probe that has not reported holds convergence (E7).
//!
//! Not here: how long a probe has failed or a host has soaked; the event says so.

use wavegate_proto::event::{
    DeclaredProbe, FailureClass, FailurePolicy, MAX_LIST_ITEMS, ProbeOutcome, cut_text,
};
use wavegate_proto::ids::{ClosureId, ProbeName};
use wavegate_proto::record::{HostRecord, HostState, ProbeRecord, ProbeStatus};
use wavegate_proto::time::Timestamp;

use super::FoldContext;
use super::fold::{enter, fail, is_target};
use super::refusal::Refusal;

/// Stores the set of declared probes. What a probe reported stays if its declaration is the same.
pub(super) fn declare(record: &mut HostRecord, declared: &[DeclaredProbe]) -> Result<(), Refusal> {
    if declared.len() > MAX_LIST_ITEMS {
        return Err(Refusal::TooManyProbes);
    }
    let mut probes: Vec<ProbeRecord> = declared.iter().map(|d| known_or_new(record, d)).collect();
    probes.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = probes.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(Refusal::DuplicateProbe { name: pair[0].name.clone() });
    }
    record.probes = probes;
    record.topology_known = true;
    Ok(())
}

fn known_or_new(record: &HostRecord, declared: &DeclaredProbe) -> ProbeRecord {
    let same = |p: &&ProbeRecord| {
        p.name == declared.name && p.kind == declared.kind && p.mode == declared.mode
    };
    record.probes.iter().find(same).cloned().unwrap_or_else(|| ProbeRecord {
        name: declared.name.clone(),
        kind: declared.kind,
        mode: declared.mode,
        status: ProbeStatus::Unknown,
        failing_since: None,
        reason: None,
    })
}

/// Takes one result of a declared probe. A pass clears its failing-since (E6, E8).
pub(super) fn report(
    record: &mut HostRecord,
    at: Timestamp,
    name: &ProbeName,
    outcome: ProbeOutcome,
    reason: Option<&String>,
) -> Result<(), Refusal> {
    let Some(probe) = record.probes.iter_mut().find(|p| p.name == *name) else {
        return Err(Refusal::UndeclaredProbe { name: name.clone() });
    };
    probe.status = outcome.into();
    match outcome {
        ProbeOutcome::Pass => {
            probe.failing_since = None;
            probe.reason = None;
        }
        ProbeOutcome::Fail => {
            probe.failing_since.get_or_insert(at);
            probe.reason = reason.cloned().map(cut_text);
        }
    }
    Ok(())
}

/// The set of probes is known and every enforce probe's last result is a pass.
pub(super) fn all_pass(record: &HostRecord) -> Result<(), Refusal> {
    if !record.topology_known {
        return Err(Refusal::TopologyUnknown);
    }
    match record.probes.iter().find(|p| p.is_enforced() && p.status != ProbeStatus::Pass) {
        Some(probe) => Err(Refusal::ProbeNotPassed { name: probe.name.clone() }),
        None => Ok(()),
    }
}

fn all_failing(record: &HostRecord, names: &[ProbeName]) -> Result<(), Refusal> {
    if names.is_empty() {
        return Err(Refusal::NoFailingProbe);
    }
    let fails = |name: &&ProbeName| record.failing_enforce_probes().any(|p| p.name == **name);
    match names.iter().find(|name| !fails(name)) {
        Some(name) => Err(Refusal::ProbeNotFailing { name: name.clone() }),
        None => Ok(()),
    }
}

pub(super) fn failed(
    record: &mut HostRecord,
    ctx: &FoldContext,
    at: Timestamp,
    (names, sustained_secs, policy): (&[ProbeName], u64, FailurePolicy),
) -> Result<(), Refusal> {
    all_failing(record, names)?;
    let threshold_secs = ctx.failure_threshold_secs;
    if sustained_secs < threshold_secs {
        return Err(Refusal::ThresholdNotReached { sustained_secs, threshold_secs });
    }
    if policy != ctx.on_health_failure {
        return Err(Refusal::WrongPolicy);
    }
    let names: Vec<&str> = names.iter().map(ProbeName::as_str).collect();
    let reason = format!("probes failing: {}", names.join(", "));
    fail(record, ctx, at, FailureClass::Artifact, reason, true);
    Ok(())
}

pub(super) fn converged(
    record: &mut HostRecord,
    ctx: &FoldContext,
    at: Timestamp,
    closure: &ClosureId,
    soaked_secs: u64,
) -> Result<(), Refusal> {
    is_target(record, closure)?;
    if soaked_secs < ctx.soak_secs {
        return Err(Refusal::SoakNotOver { soaked_secs, soak_secs: ctx.soak_secs });
    }
    all_pass(record)?;
    enter(record, HostState::Converged, at);
    record.converged_at = Some(at);
    Ok(())
}

pub(super) fn degraded(
    record: &mut HostRecord,
    at: Timestamp,
    names: &[ProbeName],
) -> Result<(), Refusal> {
    all_failing(record, names)?;
    if record.degraded_since.is_some() {
        return Err(Refusal::AlreadyDegraded);
    }
    record.degraded_since = Some(at);
    Ok(())
}

pub(super) fn recovered(record: &mut HostRecord) -> Result<(), Refusal> {
    if record.degraded_since.is_none() {
        return Err(Refusal::NotDegraded);
    }
    all_pass(record)?;
    record.degraded_since = None;
    Ok(())
}
