//! Steps that nothing undoes: there is no way back past one.

use wavegate_proto::event::ProbeOutcome::{Fail, Pass};
use wavegate_proto::event::{Event, FailureClass};
use wavegate_proto::record::{HostState, Rollback};
use wavegate_state_machine::agent::{ActivationOutcome, AgentEffect, AgentInput, OneWay};

use crate::host::Host;
use crate::plans::{Release, SOAK_SECS, THRESHOLD_SECS, release};

fn passed() -> OneWay {
    OneWay::Passed(vec!["migrate".parse().unwrap(), "format".parse().unwrap()])
}

fn soaks_past_a_step(host: &mut Host, release: &Release) {
    host.offer(release, 1);
    host.post_all();
    host.disk.one_way = passed();
    host.input(AgentInput::OneWay(passed()));
    host.activated(release);
    host.post_all();
}

fn fails_by_its_probe(host: &mut Host, release: &Release) {
    host.probe(release, "http", Fail);
    host.advance(THRESHOLD_SECS);
}

fn is_refused(host: &Host, release: &Release) {
    let journal = host.disk.journals.iter().find(|j| j.rollout_id == release.id()).unwrap();
    let last = &journal.entries.last().unwrap().entry.event;
    let Event::RollbackFailed { reason } = last else { panic!("{last:?}") };
    assert_eq!(reason, "one-way: migrate, format cannot be undone");
    assert_eq!(host.state(release), HostState::Failed);
    assert_eq!(host.record(release).failure.clone().unwrap().rollback, Rollback::Failed);
}

fn rolls_back(told: &[AgentEffect]) -> bool {
    told.iter().any(|effect| matches!(effect, AgentEffect::Rollback { .. }))
}

#[test]
fn a_host_that_failed_past_a_one_way_step_stays_failed_for_a_person() {
    let (mut host, good, bad) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&good, 1);
    soaks_past_a_step(&mut host, &bad);
    fails_by_its_probe(&mut host, &bad);
    assert!(!rolls_back(&host.take_told()));
    is_refused(&host, &bad);
    host.post_all();
    host.restart();
    assert!(!rolls_back(&host.take_told()), "a restart does not try it after all");
    assert!(host.core.wants_dispatch(host.mono), "a fix still reaches it");
}

#[test]
fn an_activation_that_failed_after_a_one_way_step_is_not_taken_back_either() {
    for restart in [false, true] {
        let (mut host, good, bad) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
        host.converges(&good, 1);
        host.offer(&bad, 1);
        host.post_all();
        host.disk.one_way = passed();
        if restart {
            host.restart();
        }
        host.input(AgentInput::OneWay(passed()));
        let outcome = ActivationOutcome::Failed {
            class: FailureClass::Artifact,
            reason: "job-failed".to_owned(),
            exit_code: None,
            stderr_tail: None,
            changed: true,
        };
        host.input(AgentInput::ActivationEnded { rollout_id: bad.id(), outcome });
        is_refused(&host, &bad);
    }
}

#[test]
fn what_the_engine_wrote_down_counts_after_kill_9() {
    let (mut host, bad) = (Host::new(), release("r1", 1, "b"));
    host.soaks(&bad, 1);
    host.disk.one_way = passed();
    host.restart();
    fails_by_its_probe(&mut host, &bad);
    is_refused(&host, &bad);
}

#[test]
fn a_closure_that_has_converged_leaves_its_steps_behind() {
    for restart in [false, true] {
        let (mut host, good, bad) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
        host.offer(&good, 1);
        host.post_all();
        host.disk.one_way = passed();
        host.input(AgentInput::OneWay(passed()));
        host.activated(&good);
        host.probe(&good, "http", Pass);
        host.take_told();
        host.advance(SOAK_SECS);
        host.post_all();
        assert_eq!(host.state(&good), HostState::Converged);
        if restart {
            // The list was not settled before the process ended.
            host.disk.one_way = passed();
            host.restart();
        }
        let settled = |effect: &AgentEffect| matches!(effect, AgentEffect::SettleOneWay { .. });
        assert!(host.take_told().iter().any(settled), "restart {restart}");
        host.soaks(&bad, 1);
        fails_by_its_probe(&mut host, &bad);
        assert!(rolls_back(&host.take_told()), "restart {restart}");
    }
}

#[test]
fn a_list_that_is_lost_says_nothing_in_favour_of_going_back() {
    let (mut host, bad) = (Host::new(), release("r1", 1, "b"));
    host.disk.one_way = OneWay::Unknown;
    host.restart();
    host.soaks(&bad, 1);
    fails_by_its_probe(&mut host, &bad);
    assert_eq!(host.last_kind(&bad), "rollback_failed");
}
