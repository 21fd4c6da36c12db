//! What is probed when, which results count, and what the heartbeat says of them.
//!
//! Not here: the verdicts built on them (see `health`).

use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::event::DeclaredProbe;
use wavegate_proto::event::ProbeOutcome::{Fail, Pass};
use wavegate_proto::ids::{ProbeName, RolloutId};
use wavegate_proto::record::{HostState, ProbeKind, ProbeMode};
use wavegate_proto::wire::agent::ProbeCounts;
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentEffect, AgentInput, PostOutcome, ProbeSchedule,
};

use crate::host::Host;
use crate::plans::{
    PROBE_INTERVAL_SECS, PROBE_TIMEOUT_SECS, Release, SOAK_SECS, THRESHOLD_SECS, closure, probes,
    release,
};

/// The rollout whose probes were started last.
fn probed(host: &mut Host) -> Option<RolloutId> {
    let told = host.take_told().into_iter().rev();
    told.filter_map(|effect| match effect {
        AgentEffect::StartProbes { rollout_id, .. } => Some(rollout_id),
        _ => None,
    })
    .next()
}

/// The table is reported again at a start when the closure's probes are others than the journal says.
#[test]
fn e7_probes_are_declared_again_only_when_they_have_changed() {
    type Edit = fn(&mut Vec<ProbeSchedule>);
    let named = |name: &str| -> ProbeName { name.parse().unwrap() };
    assert_eq!(probes()[0].declared.name, named("http"));
    let edits: [(&str, Edit, bool); 6] = [
        ("the same", |_| {}, false),
        ("another schedule", |all| all[0].interval_secs += 1, false),
        ("one less", |all| _ = all.pop(), true),
        ("another name", |all| all[0].declared.name = "https".parse().unwrap(), true),
        ("another kind", |all| all[0].declared.kind = ProbeKind::Tcp, true),
        ("another mode", |all| all[1].declared.mode = ProbeMode::Enforce, true),
    ];
    for (case, edit, again) in edits {
        let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
        host.soaks(&r1, 1);
        host.probe(&r1, "http", Pass);
        edit(&mut host.probes);
        host.restart();
        assert_eq!(host.last_kind(&r1) == "probe_topology", again, "{case}");
    }
}

/// E7: a closure without probes says so, and may then converge.
#[test]
fn e7_a_closure_without_probes_reports_an_empty_table() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    host.current = Some(closure("a"));
    let outcome = ActivationOutcome::Complete { exit_code: 0, changed: true, probes: vec![] };
    host.input(AgentInput::ActivationEnded { rollout_id: r1.id(), outcome });
    assert_eq!(host.last_kind(&r1), "probe_topology");
    host.advance(SOAK_SECS);
    assert_eq!(host.state(&r1), HostState::Converged);
}

/// E20 is about enforce probes; one that is only shown decides nothing, silent or failing.
#[test]
fn e20_an_observe_probe_decides_nothing() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    let silent_secs = PROBE_INTERVAL_SECS + PROBE_TIMEOUT_SECS + 30;
    host.advance(silent_secs);
    let kinds = host.kinds(&r1);
    assert_eq!(kinds[4..], ["probe_result"], "of the enforce probe alone");
    let (mut host, r2) = (Host::new(), release("r2", 2, "b"));
    host.soaks(&r2, 1);
    host.probe(&r2, "disk", Fail);
    host.probe(&r2, "http", Fail);
    host.advance(THRESHOLD_SECS - 1);
    host.probe(&r2, "http", Pass);
    assert_eq!(host.state(&r2), HostState::Converged);
    host.advance(THRESHOLD_SECS);
    assert_eq!(host.last_kind(&r2), "converged");
    assert!(!host.has_logged());
}

/// E20: what the journal already says is not said again.
#[test]
fn e20_silence_is_no_news_of_a_probe_that_fails_already() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", Fail);
    let known = host.kinds(&r1);
    host.restart();
    host.advance(PROBE_INTERVAL_SECS + PROBE_TIMEOUT_SECS + 30);
    assert_eq!(host.kinds(&r1), known);
    host.advance(THRESHOLD_SECS);
    assert_eq!(host.state(&r1), HostState::Failed, "it counts as failing all the same");
}

#[test]
fn a_result_that_nobody_asked_for_is_no_result() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&r1, 1);
    host.converges(&r2, 1);
    host.probe(&r1, "http", Fail);
    assert_eq!(host.last_kind(&r1), "converged", "it is not probed any more");
    host.probe(&r2, "dsik", Fail);
    assert_eq!(host.last_kind(&r2), "converged", "it is not declared");
    assert!(host.has_logged());
}

#[test]
fn the_heartbeat_counts_the_probes_of_what_is_probed() {
    let counts = |host: &mut Host| {
        let ProbeCounts { pass, fail, unknown } = host.heartbeat().probes;
        (pass, fail, unknown)
    };
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    assert_eq!(counts(&mut host), (0, 0, 0));
    host.soaks(&r1, 1);
    assert_eq!(counts(&mut host), (0, 0, 2));
    host.probe(&r1, "http", Pass);
    assert_eq!(counts(&mut host), (1, 0, 1));
    host.probe(&r1, "disk", Fail);
    assert_eq!(counts(&mut host), (1, 1, 0));
}

/// While a closure is being switched to, nothing is probed: also after a restart.
#[test]
fn nothing_is_probed_while_the_host_is_being_changed() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&r1, 1);
    host.offer(&r2, 1);
    assert_eq!(probed(&mut host), None);
    host.restart();
    assert_eq!(probed(&mut host), Some(r1.id()), "nothing has been permitted yet");
    host.post_all();
    let (mut host, r2) = (Host::new(), release("r2", 2, "b"));
    host.converges(&r1, 1);
    host.offer(&r2, 1);
    host.post_all();
    assert!(host.take_told().contains(&AgentEffect::StopProbes));
    host.restart();
    assert_eq!(probed(&mut host), None, "r2 is being activated, though a runs");
}

/// Of two rollouts of the same closure the one that soaks is probed, else the newest that may be.
#[test]
fn of_two_rollouts_of_what_runs_one_is_probed() {
    let system = |reference, serial, checks| Release {
        checks: Some(checks),
        ..release(reference, serial, "nixos")
    };
    let (r1, r2) = (system("r1", 1, "checks"), system("r2", 2, "others"));
    let mut host = Host::new();
    host.converges(&r1, 1);
    host.soaks(&r2, 1);
    host.restart();
    assert_eq!(probed(&mut host), Some(r2.id()));

    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "a"));
    host.converges(&r1, 1);
    host.offer_unchanged(&r2);
    host.restart();
    assert_eq!(probed(&mut host), Some(r1.id()), "the carry has no answer yet");
    host.post_all();
    assert_eq!(probed(&mut host), Some(r2.id()));
    let r3 = release("r3", 3, "b");
    host.soaks(&r3, 1);
    host.probe(&r3, "http", Fail);
    host.advance(THRESHOLD_SECS);
    host.take_told();
    host.rolled_back(&r3, Some(closure("a")));
    assert_eq!(probed(&mut host), Some(r2.id()), "it was carried, and runs again");
}

/// A carry that was accepted begins probing once; later answers begin nothing.
#[test]
fn probing_goes_on_while_later_events_are_answered() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "a"));
    host.converges(&r1, 1);
    host.offer_unchanged(&r2);
    host.post_all();
    assert_eq!(probed(&mut host), Some(r2.id()));
    host.probe(&r2, "http", Fail);
    host.advance(THRESHOLD_SECS - 1);
    host.post_all();
    assert_eq!(probed(&mut host), None);
    host.advance(1);
    assert_eq!(host.last_kind(&r2), "degraded", "the count goes on");
}

/// What soaks and is not probed any more, since something else runs, does not keep the host busy.
#[test]
fn a_soak_that_nobody_watches_keeps_no_dispatch_away() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    assert!(!host.core.wants_dispatch(host.mono));
    host.restart();
    assert!(!host.core.wants_dispatch(host.mono), "it goes on");
    host.current = Some(closure("by hand"));
    host.restart();
    assert_eq!(probed(&mut host), None);
    assert!(host.core.wants_dispatch(host.mono));
}

/// The core never asks to be woken now: that would be a busy loop.
#[test]
fn whatever_is_due_now_wakes_nobody_again() {
    let later = |host: &Host| host.core.next_wakeup(host.mono).is_none_or(|at| at > host.mono);
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    assert_eq!(host.core.next_wakeup(host.mono), None);
    host.offer(&r1, 1);
    let ends = host.mono.plus_secs(crate::host::LEASE_SECS);
    assert_eq!(host.core.next_wakeup(host.mono), Some(ends), "the lease");
    host.advance(crate::host::LEASE_SECS);
    assert!(later(&host));
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.advance(SOAK_SECS);
    assert!(later(&host), "soak is over, and nothing has passed");
    host.probe(&r1, "http", Fail);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::Unavailable);
    assert_eq!(host.core.next_wakeup(host.mono), Some(host.mono.plus_secs(1)));
    host.advance(1);
    assert!(later(&host), "what waited may be sent");
}

#[test]
fn the_schedule_of_a_bundle_is_what_its_probes_say() {
    let bundle: Bundle = serde_json::from_value(serde_json::json!({
        "schema_version": 1,
        "probes": [
            {"name": "a", "kind": "tcp", "address": "localhost:1", "mode": "observe"},
            {"name": "b", "kind": "exec", "argv": ["true"], "interval_secs": 60, "timeout_secs": 9},
        ],
    }))
    .unwrap();
    let schedule = |name: &str, kind, mode, interval_secs, timeout_secs| ProbeSchedule {
        declared: DeclaredProbe { name: name.parse().unwrap(), kind, mode },
        interval_secs,
        timeout_secs,
    };
    let expected = [
        schedule("a", ProbeKind::Tcp, ProbeMode::Observe, 15, 5),
        schedule("b", ProbeKind::Exec, ProbeMode::Enforce, 60, 9),
    ];
    assert_eq!(ProbeSchedule::of(&bundle), expected);
}
