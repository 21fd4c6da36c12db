//! Probes, soak and the verdict.

use wavegate_proto::event::ProbeOutcome::{Fail, Pass};
use wavegate_proto::record::HostState;
use wavegate_state_machine::agent::AgentEffect;

use crate::host::Host;
use crate::plans::{
    PROBE_INTERVAL_SECS, PROBE_TIMEOUT_SECS, Release, SOAK_SECS, THRESHOLD_SECS, closure, release,
};

#[test]
fn a_host_converges_when_soak_is_over_and_every_enforce_probe_passes() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    assert!(host.take_told().iter().any(|e| matches!(e, AgentEffect::StartProbes { .. })));
    host.probe(&r1, "http", Pass);
    host.advance(SOAK_SECS - 1);
    assert_eq!(host.state(&r1), HostState::Soaking);
    assert_eq!(host.core.next_wakeup(host.mono), Some(host.mono.plus_secs(1)));
    host.advance(1);
    assert_eq!(host.state(&r1), HostState::Converged);
    assert_eq!(host.last_kind(&r1), "converged");
    host.advance(1000);
    host.probe(&r1, "http", Pass);
    assert_eq!(host.last_kind(&r1), "converged", "steady results are no events");
    assert!(host.core.wants_dispatch(host.mono) || host.post().is_some());
}

#[test]
fn e7_the_probe_table_begins_empty_and_silence_is_no_pass() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "disk", Pass);
    host.advance(SOAK_SECS + 1);
    assert_eq!(host.state(&r1), HostState::Soaking);
    host.probe(&r1, "http", Pass);
    assert_eq!(host.state(&r1), HostState::Converged);
}

#[test]
fn e6_two_blips_are_not_one_long_failure() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", Fail);
    host.advance(THRESHOLD_SECS - 1);
    host.probe(&r1, "http", Pass);
    assert_eq!(host.state(&r1), HostState::Converged, "soak was over while it failed");
    let (mut host, r2) = (Host::new(), release("r2", 2, "b"));
    host.soaks(&r2, 1);
    host.probe(&r2, "http", Fail);
    host.advance(SOAK_SECS - 2);
    host.probe(&r2, "http", Pass);
    host.advance(1);
    host.probe(&r2, "http", Fail);
    host.advance(THRESHOLD_SECS - 1);
    assert_eq!(host.state(&r2), HostState::Soaking);
    host.advance(1);
    assert_eq!(host.state(&r2), HostState::Failed);
}

#[test]
fn e20_a_probe_that_never_reports_ends_the_soak() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    let silent_secs = PROBE_INTERVAL_SECS + PROBE_TIMEOUT_SECS + 30;
    host.advance(silent_secs - 1);
    assert_eq!(host.last_kind(&r1), "probe_topology");
    host.advance(1);
    let probe = host.record(&r1).failing_enforce_probes().next().unwrap();
    assert_eq!(probe.reason.as_deref(), Some("no-result"));
    assert_eq!(host.core.next_wakeup(host.mono), Some(host.mono.plus_secs(THRESHOLD_SECS)));
    host.advance(THRESHOLD_SECS);
    assert_eq!(host.state(&r1), HostState::Failed);
}

/// E3 on the host: soak goes on across a restart in the same boot and begins again after a reboot.
#[test]
fn e3_soak_is_never_shorter_than_signed() {
    for reboot in [false, true] {
        let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
        host.soaks(&r1, 1);
        host.probe(&r1, "http", Pass);
        host.advance(SOAK_SECS - 1);
        if reboot {
            host.reboot();
        } else {
            host.restart();
        }
        assert!(host.take_told().iter().any(|e| matches!(e, AgentEffect::StartProbes { .. })));
        host.advance(1);
        assert_eq!(host.state(&r1), HostState::Soaking, "nothing has passed in this process");
        host.probe(&r1, "http", Pass);
        let expected = if reboot { HostState::Soaking } else { HostState::Converged };
        assert_eq!(host.state(&r1), expected);
        host.advance(SOAK_SECS);
        assert_eq!(host.state(&r1), HostState::Converged);
    }
}

#[test]
fn a_converged_host_is_degraded_and_recovers() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.converges(&r1, 1);
    host.probe(&r1, "http", Fail);
    host.advance(THRESHOLD_SECS - 1);
    assert_eq!(host.last_kind(&r1), "probe_result");
    host.advance(1);
    assert_eq!(host.last_kind(&r1), "degraded");
    host.advance(THRESHOLD_SECS);
    assert_eq!(host.last_kind(&r1), "degraded");
    host.probe(&r1, "http", Pass);
    assert_eq!(host.last_kind(&r1), "recovered");
    assert_eq!(host.state(&r1), HostState::Converged);
    assert!(!host.has_logged(), "nothing was tried in vain");
}

#[test]
fn a_host_carries_what_it_converged_on_and_is_probed_in_the_new_rollout() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "a"));
    host.converges(&r1, 1);
    host.offer_unchanged(&r2);
    assert_eq!(host.kinds(&r2), ["carried"]);
    assert_eq!(host.take_told(), [], "probing moves when the carry is accepted");
    host.post_all();
    assert!(matches!(&host.take_told()[..], [AgentEffect::StartProbes { .. }]));
    host.probe(&r2, "http", Pass);
    assert_eq!(host.kinds(&r2), ["carried", "probe_result"]);
    host.restart();
    host.probe(&r2, "http", Fail);
    assert_eq!(host.kinds(&r2), ["carried", "probe_result", "probe_result"]);
}

#[test]
fn a_refused_carry_has_not_happened() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "a"));
    host.converges(&r1, 1);
    host.offer_unchanged(&r2);
    host.refuse_next();
    assert_eq!(host.state(&r2), HostState::Pending);
    host.probe(&r1, "http", Fail);
    assert_eq!(host.last_kind(&r1), "probe_result", "the old rollout is still probed");
}

#[test]
fn g23_no_change_needs_the_same_checks_health_and_a_verdict_of_its_own() {
    let system = |reference, serial, checks| Release {
        checks: Some(checks),
        ..release(reference, serial, "nixos")
    };
    let r1 = system("r1", 1, "checks");
    let same = system("r2", 2, "checks");
    let other_checks = system("r2", 2, "other checks");
    let carries = |host: &mut Host, release| {
        host.offer_unchanged(release);
        host.last_kind(release) == "carried"
    };
    let converged = || {
        let mut host = Host::new();
        host.converges(&r1, 1);
        host
    };
    assert!(carries(&mut converged(), &same));
    assert!(!carries(&mut converged(), &other_checks));
    let mut sick = converged();
    sick.probe(&r1, "http", Fail);
    sick.post_all();
    assert!(!carries(&mut sick, &same));
    let mut moved = converged();
    moved.current = Some(closure("something"));
    assert!(!carries(&mut moved, &same));
    let mut stranger = Host::new();
    stranger.current = Some(closure("nixos"));
    assert!(!carries(&mut stranger, &same));
}

/// What the resource engine sees goes to the rollout that runs.
#[test]
fn drift_is_journaled_in_the_rollout_that_runs() {
    use wavegate_proto::event::Event;
    use wavegate_state_machine::agent::AgentInput;
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    let event = || AgentInput::ResourceObserved {
        event: Event::DriftCorrected { id: "conf".parse().unwrap(), result: "x".to_owned() },
    };
    host.input(event());
    host.converges(&r1, 1);
    host.input(event());
    assert_eq!(host.last_kind(&r1), "drift_corrected");
    host.input(AgentInput::ResourceObserved { event: Event::Recovered {} });
    assert_eq!(host.last_kind(&r1), "drift_corrected");
}
