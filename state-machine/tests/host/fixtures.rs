//! Records, events and contexts of one host, `web-1`, in one rollout, `stable@r1`.

use wavegate_proto::event::{
    ActivationMethod, DeclaredProbe, Event, FailureClass, FailurePolicy, ProbeOutcome,
};
use wavegate_proto::ids::{Attempt, BlobId, ClosureId, WaveIndex};
use wavegate_proto::record::{HostRecord, HostState, ProbeKind, ProbeMode};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::resource::Drift;
use wavegate_state_machine::host::{
    ControlFact, FoldContext, Lease, Origin, Refusal, apply_fact, fold,
};

pub(crate) const SOAK_SECS: u64 = 30;
pub(crate) const THRESHOLD_SECS: u64 = 60;

pub(crate) fn target() -> ClosureId {
    ClosureId::Bundle(BlobId::of(b"new"))
}

pub(crate) fn prior() -> ClosureId {
    ClosureId::Bundle(BlobId::of(b"old"))
}

pub(crate) fn at(secs: u64) -> Timestamp {
    "2026-11-21T09:00:00Z".parse::<Timestamp>().unwrap().plus_secs(secs)
}

pub(crate) fn ctx(origin: Origin) -> FoldContext {
    FoldContext {
        soak_secs: SOAK_SECS,
        failure_threshold_secs: THRESHOLD_SECS,
        on_health_failure: FailurePolicy::RollbackAndHalt,
        lease: Lease::None,
        origin,
    }
}

pub(crate) fn leased(attempt: u32, no_change: bool) -> FoldContext {
    let lease = Lease::Open { attempt: Attempt(attempt), no_change, issued_at: at(0) };
    FoldContext { lease, ..ctx(Origin::Live) }
}

pub(crate) fn probe(name: &str, mode: ProbeMode) -> DeclaredProbe {
    DeclaredProbe { name: name.parse().unwrap(), kind: ProbeKind::Http, mode }
}

pub(crate) fn topology() -> Event {
    Event::ProbeTopology {
        probes: vec![probe("http", ProbeMode::Enforce), probe("disk", ProbeMode::Observe)],
    }
}

pub(crate) fn result(name: &str, status: ProbeOutcome) -> Event {
    Event::ProbeResult {
        name: name.parse().unwrap(),
        mode: ProbeMode::Enforce,
        status,
        reason: None,
        sub_results: vec![],
    }
}

pub(crate) fn ack(attempt: u32) -> Event {
    Event::DispatchAck { prior_closure: Some(prior()), attempt: Attempt(attempt) }
}

pub(crate) fn activation_failed(class: FailureClass, changed: bool) -> Event {
    let reason = "broken".to_owned();
    Event::ActivationFailed { class, reason, exit_code: Some(1), stderr_tail: None, changed }
}

pub(crate) fn complete() -> Event {
    Event::ActivationComplete { closure: target(), exit_code: 0, changed: true }
}

pub(crate) fn failed(secs: u64) -> Event {
    Event::Failed {
        failing_probes: vec!["http".parse().unwrap()],
        sustained_secs: secs,
        policy: FailurePolicy::RollbackAndHalt,
    }
}

pub(crate) fn converged(secs: u64) -> Event {
    Event::Converged { closure: target(), soaked_secs: secs }
}

pub(crate) fn pending() -> HostRecord {
    let id = "stable@r1".parse().unwrap();
    HostRecord::pending(id, "web-1".parse().unwrap(), WaveIndex(0), target(), at(0))
}

/// Folds `events` one second apart; each must be accepted.
pub(crate) fn after(mut record: HostRecord, events: &[Event]) -> HostRecord {
    for event in events {
        let ctx = leased(record.attempt.0 + 1, true);
        fold(&mut record, &ctx, at(1), event).unwrap();
    }
    record
}

/// A record in `state`, reached by real events, healthy as far as the state allows.
pub(crate) fn in_state(state: HostState) -> HostRecord {
    let start = || vec![ack(1), Event::ActivationStarted { method: ActivationMethod::Bundle }];
    let soaking =
        || [start(), vec![complete(), topology(), result("http", ProbeOutcome::Pass)]].concat();
    let failing =
        || [soaking(), vec![result("http", ProbeOutcome::Fail), failed(THRESHOLD_SECS)]].concat();
    let events = match state {
        HostState::Pending | HostState::Skipped => vec![],
        HostState::Activating => start(),
        HostState::Deferred => {
            [start(), vec![Event::ActivationDeferred { component: "kernel".to_owned() }]].concat()
        }
        HostState::Soaking => soaking(),
        HostState::Converged => [soaking(), vec![converged(SOAK_SECS)]].concat(),
        HostState::Failed => failing(),
        HostState::Reverted => [failing(), vec![rollback_complete()]].concat(),
    };
    let mut record = after(pending(), &events);
    if state == HostState::Skipped {
        apply_fact(&mut record, ControlFact::Skip, at(1)).unwrap();
    }
    assert_eq!(record.state, state);
    record
}

pub(crate) fn rollback_complete() -> Event {
    Event::RollbackComplete { closure: Some(prior()), exit_code: 0 }
}

/// One event of every kind, each as good as it can be.
pub(crate) fn every_event(record: &HostRecord) -> Vec<Event> {
    let names = || vec!["http".parse().unwrap()];
    let drifted = || "conf".parse().unwrap();
    vec![
        Event::JournalOpened { snapshot: Box::new(in_state(HostState::Soaking)) },
        ack(record.attempt.0 + 1),
        Event::DispatchReject { reason: "stale".to_owned(), detail: None },
        Event::ActivationStarted { method: ActivationMethod::Bundle },
        complete(),
        activation_failed(FailureClass::Host, true),
        Event::ActivationDeferred { component: "kernel".to_owned() },
        topology(),
        result("http", ProbeOutcome::Pass),
        Event::Carried {
            closure: target(),
            from_rollout: "stable@r0".parse().unwrap(),
            probes: vec![probe("http", ProbeMode::Enforce)],
        },
        failed(THRESHOLD_SECS),
        rollback_complete(),
        Event::RollbackFailed { reason: "no".to_owned() },
        converged(SOAK_SECS),
        Event::Degraded { failing_probes: names() },
        Event::Recovered {},
        resource_changed(),
        Event::DriftDetected { id: drifted(), drift: Drift::Changed, detail: None },
        Event::DriftCorrected { id: drifted(), result: "rewritten".to_owned() },
        Event::Refused,
    ]
}

fn resource_changed() -> Event {
    serde_json::from_value(serde_json::json!({
        "kind": "resource_changed", "id": "conf", "resource_kind": "file",
        "status": {
            "status": "completed", "since": "2026-11-21T09:00:00.000Z", "operation": "none",
            "actor": {"identity": "system", "source": "release"},
            "started_at": null, "ended_at": null, "blocker": null, "error": null,
            "retry_after": null, "decision": "skip", "drift": "ok"
        }
    }))
    .unwrap()
}

/// Folds `event` and says what came of it: the new state, or the code of the refusal.
pub(crate) fn outcome(
    record: &HostRecord,
    ctx: &FoldContext,
    event: &Event,
) -> Result<HostState, Refusal> {
    let mut next = record.clone();
    let result = fold(&mut next, ctx, at(5), event);
    if result.is_err() {
        assert_eq!(next, *record, "a refused event left its mark");
    }
    result.map(|()| next.state)
}

pub(crate) fn code(outcome: &Result<HostState, Refusal>) -> String {
    match outcome {
        Ok(state) => state.to_string(),
        Err(refusal) => refusal.code().to_owned(),
    }
}
