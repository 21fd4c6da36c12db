//! The fold: one event onto one record. Dispatch, activation and rollback are here.
//!
//! Guards look at the record, the event's own figures and the context; `at` is written down and never
//! a reason to refuse.
//!
//! Not here: probes and verdicts (`health`), journals that begin with a snapshot (`snapshot`).

use wavegate_proto::event::{Event, FailureClass, FailurePolicy, cut_text};
use wavegate_proto::ids::{Attempt, ClosureId};
use wavegate_proto::record::{Failure, HostRecord, HostState, Rollback};
use wavegate_proto::time::Timestamp;

use super::refusal::Refusal;
use super::{FoldContext, Lease, Origin, health, snapshot};

/// Folds `event`, which happened at `at`, into `record`.
///
/// Leaves `journal_id`, `last_seq` and `dispatched_at` alone: they are the caller's. The first is part
/// of [`super::JournalBook`], the last is set by whoever issues the dispatch.
///
/// # Errors
/// When the record does not allow the event; the record is then untouched.
pub fn fold(
    record: &mut HostRecord,
    ctx: &FoldContext,
    at: Timestamp,
    event: &Event,
) -> Result<(), Refusal> {
    let mut next = record.clone();
    next.synthetic = ctx.origin == Origin::Synthetic;
    apply(&mut next, ctx, at, event)?;
    *record = next;
    Ok(())
}

/// The states that take an event of this kind; each may have guards of its own.
fn taken_in(event: &Event) -> &'static [HostState] {
    use HostState as S;
    match event {
        Event::JournalOpened { .. } | Event::Refused => &S::ALL,
        Event::DispatchAck { .. } => {
            &[S::Pending, S::Failed, S::Reverted, S::Skipped, S::Converged, S::Deferred, S::Soaking]
        }
        Event::DispatchReject { .. } => {
            &[S::Pending, S::Failed, S::Reverted, S::Skipped, S::Converged]
        }
        Event::Carried { .. } => &[S::Pending],
        Event::ActivationStarted { .. } | Event::ActivationDeferred { .. } => &[S::Activating],
        Event::ActivationComplete { .. } | Event::ActivationFailed { .. } => {
            &[S::Activating, S::Deferred]
        }
        Event::ProbeTopology { .. } | Event::ProbeResult { .. } => &[S::Soaking, S::Converged],
        Event::Failed { .. } | Event::Converged { .. } => &[S::Soaking],
        Event::Degraded { .. } | Event::Recovered {} => &[S::Converged],
        Event::RollbackComplete { .. } | Event::RollbackFailed { .. } => &[S::Failed],
        Event::ResourceChanged { .. }
        | Event::DriftDetected { .. }
        | Event::DriftCorrected { .. } => {
            let [_pending, left_pending @ ..] = &S::ALL;
            left_pending
        }
    }
}

/// What only an agent may say: that something passes.
fn asserts_health(event: &Event) -> bool {
    matches!(
        event,
        Event::ProbeResult { .. }
            | Event::Carried { .. }
            | Event::Converged { .. }
            | Event::Recovered {}
    )
}

fn apply(
    record: &mut HostRecord,
    ctx: &FoldContext,
    at: Timestamp,
    event: &Event,
) -> Result<(), Refusal> {
    if ctx.origin == Origin::Synthetic && asserts_health(event) {
        return Err(Refusal::SyntheticHealth { kind: event.kind() });
    }
    if !taken_in(event).contains(&record.state) {
        return Err(Refusal::WrongState { state: record.state, kind: event.kind() });
    }
    match event {
        Event::JournalOpened { snapshot } => snapshot::open(record, ctx, snapshot)?,
        Event::DispatchAck { prior_closure, attempt } => {
            dispatch_ack(record, ctx, at, prior_closure.as_ref(), *attempt)?;
        }
        Event::DispatchReject { .. } => dispatch_reject(record, ctx)?,
        Event::Carried { closure, probes, .. } => {
            carried(record, ctx, at, closure)?;
            health::declare(record, probes)?;
        }
        Event::ActivationStarted { .. } => {
            record.activation_started_at.get_or_insert(at);
        }
        Event::ActivationComplete { closure, exit_code, changed: _ } => {
            activation_complete(record, at, closure, *exit_code)?;
        }
        Event::ActivationDeferred { .. } => enter(record, HostState::Deferred, at),
        Event::ActivationFailed { class, reason, changed, .. } => {
            fail(record, ctx, at, *class, reason.clone(), *changed);
        }
        Event::ProbeTopology { probes } => health::declare(record, probes)?,
        Event::ProbeResult { name, status, reason, .. } => {
            health::report(record, at, name, *status, reason.as_ref())?;
        }
        Event::Failed { failing_probes, sustained_secs, policy } => {
            health::failed(record, ctx, at, (failing_probes, *sustained_secs, *policy))?;
        }
        Event::Converged { closure, soaked_secs } => {
            health::converged(record, ctx, at, closure, *soaked_secs)?;
        }
        Event::Degraded { failing_probes } => health::degraded(record, at, failing_probes)?,
        Event::Recovered {} => health::recovered(record)?,
        Event::RollbackComplete { closure, exit_code } => {
            rollback_complete(record, at, closure.as_ref(), *exit_code)?;
        }
        Event::RollbackFailed { .. } => set_rollback(record, Rollback::Failed)?,
        Event::ResourceChanged { .. }
        | Event::DriftDetected { .. }
        | Event::DriftCorrected { .. } => {}
        Event::Refused if ctx.origin == Origin::Replay => {}
        Event::Refused => return Err(Refusal::ReplayOnly { kind: event.kind() }),
    }
    Ok(())
}

pub(super) fn enter(record: &mut HostRecord, state: HostState, at: Timestamp) {
    record.state = state;
    record.state_since = at;
}

pub(super) fn is_target(record: &HostRecord, closure: &ClosureId) -> Result<(), Refusal> {
    if *closure == record.target_closure {
        return Ok(());
    }
    Err(Refusal::NotTarget { target: record.target_closure.clone(), got: closure.clone() })
}

/// Beside a host that is through with its last attempt, a later attempt may find one that is deferred,
/// soaking or converged: lost (G8), degraded (G13) and diverged (G26) hosts may be tried again, and the
/// control plane's record was pending then. A dispatch is only ever open on a pending record.
fn dispatch_ack(
    record: &mut HostRecord,
    ctx: &FoldContext,
    at: Timestamp,
    prior: Option<&ClosureId>,
    attempt: Attempt,
) -> Result<(), Refusal> {
    if ctx.origin == Origin::Live {
        match ctx.lease {
            Lease::None => return Err(Refusal::NoLease),
            Lease::Lapsed { attempt } => return Err(Refusal::LeaseLapsed { attempt }),
            Lease::Open { attempt: expected, .. } if expected != attempt => {
                return Err(Refusal::WrongAttempt { expected, got: attempt });
            }
            Lease::Open { .. } => {}
        }
    }
    if attempt <= record.attempt {
        return Err(Refusal::AttemptNotLater { last: record.attempt, got: attempt });
    }
    begin_attempt(record, at, prior, attempt);
    Ok(())
}

/// Nothing of an earlier attempt is left, so that a replay gives the same record.
fn begin_attempt(
    record: &mut HostRecord,
    at: Timestamp,
    prior: Option<&ClosureId>,
    attempt: Attempt,
) {
    enter(record, HostState::Activating, at);
    record.attempt = attempt;
    record.prior_closure = prior.cloned();
    record.current_closure = prior.cloned();
    record.dispatch_acked_at = Some(at);
    record.activation_started_at = None;
    record.activation_completed_at = None;
    record.converged_at = None;
    record.failed_at = None;
    record.failure = None;
    record.degraded_since = None;
    record.probes.clear();
    record.topology_known = false;
}

/// Nothing moves. A record that has left pending takes a reject only of a dispatch, or in a replay: the
/// control plane's record may have been pending by a retry that the journal does not know.
fn dispatch_reject(record: &HostRecord, ctx: &FoldContext) -> Result<(), Refusal> {
    let dispatched = match ctx.lease {
        Lease::None => false,
        Lease::Open { .. } | Lease::Lapsed { .. } => true,
    };
    if record.state == HostState::Pending || dispatched || ctx.origin == Origin::Replay {
        Ok(())
    } else {
        Err(Refusal::NoLease)
    }
}

fn activation_complete(
    record: &mut HostRecord,
    at: Timestamp,
    closure: &ClosureId,
    exit_code: i32,
) -> Result<(), Refusal> {
    is_target(record, closure)?;
    if exit_code != 0 {
        return Err(Refusal::BadExitCode { exit_code });
    }
    enter(record, HostState::Soaking, at);
    record.activation_completed_at = Some(at);
    record.current_closure = Some(closure.clone());
    record.probes.clear();
    record.topology_known = false;
    Ok(())
}

fn carried(
    record: &mut HostRecord,
    ctx: &FoldContext,
    at: Timestamp,
    closure: &ClosureId,
) -> Result<(), Refusal> {
    if ctx.origin == Origin::Live {
        match ctx.lease {
            Lease::None => return Err(Refusal::NoLease),
            Lease::Lapsed { attempt } => return Err(Refusal::LeaseLapsed { attempt }),
            Lease::Open { no_change: false, .. } => return Err(Refusal::NotNoChange),
            Lease::Open { no_change: true, .. } => {}
        }
    }
    is_target(record, closure)?;
    enter(record, HostState::Converged, at);
    record.current_closure = Some(closure.clone());
    record.converged_at = Some(at);
    record.failed_at = None;
    record.failure = None;
    record.probes.clear();
    Ok(())
}

pub(super) fn fail(
    record: &mut HostRecord,
    ctx: &FoldContext,
    at: Timestamp,
    class: FailureClass,
    reason: String,
    changed: bool,
) {
    let rollback = match ctx.on_health_failure {
        FailurePolicy::RollbackAndHalt => Rollback::Running,
        FailurePolicy::Halt => Rollback::None,
    };
    enter(record, HostState::Failed, at);
    record.failed_at = Some(at);
    record.failure = Some(Failure { class, reason: cut_text(reason), rollback, changed });
}

fn rollback_complete(
    record: &mut HostRecord,
    at: Timestamp,
    closure: Option<&ClosureId>,
    exit_code: i32,
) -> Result<(), Refusal> {
    if closure != record.prior_closure.as_ref() {
        return Err(Refusal::NotPrior);
    }
    if exit_code != 0 {
        return Err(Refusal::BadExitCode { exit_code });
    }
    set_rollback(record, Rollback::Done)?;
    enter(record, HostState::Reverted, at);
    record.current_closure = closure.cloned();
    Ok(())
}

fn set_rollback(record: &mut HostRecord, outcome: Rollback) -> Result<(), Refusal> {
    let Some(failure) = record.failure.as_mut() else {
        return Err(Refusal::NoRollbackDue);
    };
    match failure.rollback {
        Rollback::Running | Rollback::Failed => failure.rollback = outcome,
        Rollback::None | Rollback::Done => return Err(Refusal::NoRollbackDue),
    }
    Ok(())
}
