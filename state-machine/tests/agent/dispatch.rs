//! From an offer to a start: what is verified, what is rejected, when the lease ends.

use wavegate_proto::event::Event;
use wavegate_proto::ids::{Attempt, WaveIndex};
use wavegate_proto::record::HostState;
use wavegate_proto::wire::agent::{Dispatch, EventsRequest};
use wavegate_state_machine::agent::{AgentEffect, AgentInput, PostOutcome, Rejection};

use crate::host::{Host, LEASE_SECS};
use crate::plans::{Release, closure, release};

fn activates(told: &[AgentEffect]) -> bool {
    told.iter().any(|effect| matches!(effect, AgentEffect::Activate { .. }))
}

fn rejected_for(request: &EventsRequest) -> &str {
    match &request.events.last().unwrap().event {
        Event::DispatchReject { reason, .. } => reason,
        other => panic!("not a rejection: {other:?}"),
    }
}

#[test]
fn a_dispatch_is_acknowledged_with_what_runs_now_and_starts_when_accepted() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.current = Some(closure("before"));
    host.offer(&r1, 1);
    assert_eq!(host.take_told(), [], "nothing starts before the acknowledgement is accepted");
    assert!(!host.core.wants_dispatch(host.mono));
    let request = host.post().unwrap();
    let ack = Event::DispatchAck { prior_closure: Some(closure("before")), attempt: Attempt(1) };
    assert_eq!(request.events[0].event, ack);
    assert_eq!(host.post(), None, "one request at a time");
    let last_seq = request.events[0].seq;
    host.answer(&request, PostOutcome::Accepted { last_seq });
    assert_eq!(host.kinds(&r1), ["dispatch_ack", "activation_started"]);
    let (rollout_id, closure) = (r1.id(), closure("a"));
    let (timeout_secs, await_timeout_secs) = (900, 3600);
    assert_eq!(
        host.take_told(),
        [AgentEffect::Activate {
            rollout_id,
            closure,
            checks: None,
            timeout_secs,
            await_timeout_secs
        }]
    );
}

/// G3: a refused acknowledgement starts nothing and puts the record back.
#[test]
fn g3_a_refused_acknowledgement_has_not_happened() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    assert_eq!(host.state(&r1), HostState::Activating);
    host.refuse_next();
    assert_eq!(host.state(&r1), HostState::Pending);
    assert_eq!(host.take_told(), []);
    host.restart();
    assert_eq!(host.state(&r1), HostState::Pending);
    assert_eq!(host.take_told(), []);
    host.offer(&r1, 1);
    host.post_all();
    assert!(activates(&host.take_told()), "the next dispatch counts again");
}

#[test]
fn g4_nothing_starts_when_the_answer_comes_after_the_lease() {
    for (waited, starts) in [(LEASE_SECS - 1, true), (LEASE_SECS, false)] {
        let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
        host.offer(&r1, 1);
        let request = host.post().unwrap();
        host.advance(waited);
        let last_seq = request.events[0].seq;
        host.answer(&request, PostOutcome::Accepted { last_seq });
        assert_eq!(activates(&host.take_told()), starts, "after {waited} s");
        if !starts {
            assert_eq!(host.kinds(&r1)[1..], ["activation_failed", "rollback_complete"]);
            let failure = host.record(&r1).failure.clone().unwrap();
            assert_eq!((failure.reason.as_str(), failure.changed), ("lease-lapsed", false));
            assert_eq!(host.state(&r1), HostState::Reverted);
            assert_eq!(host.core.rejected(), [], "it says nothing about the closure");
        }
    }
}

#[test]
fn g4_an_accepted_acknowledgement_without_a_start_lapses_at_a_restart() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    // The process ended between the answer and the start.
    let journal = host.disk.journals.last_mut().unwrap();
    journal.entries.truncate(1);
    host.restart();
    assert_eq!(host.take_told(), []);
    assert_eq!(host.kinds(&r1), ["dispatch_ack", "activation_failed", "rollback_complete"]);
}

#[test]
fn g4_an_acknowledgement_answered_after_a_restart_lapses() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.restart();
    host.post_all();
    assert!(!activates(&host.take_told()));
    assert_eq!(host.last_kind(&r1), "rollback_complete");
}

fn reject_reason(host: &mut Host, dispatch: Dispatch, release: &Release) -> String {
    host.offer_with(dispatch, Ok(release.offered()));
    let request = host.post().unwrap();
    let reason = rejected_for(&request).to_owned();
    let last_seq = request.events.last().unwrap().seq;
    host.answer(&request, PostOutcome::Accepted { last_seq });
    host.post_all();
    assert!(!activates(&host.take_told()));
    reason
}

#[test]
fn a_dispatch_that_is_not_what_the_plan_says_is_rejected() {
    let r1 = release("r1", 5, "a");
    let mut host = Host::new();
    let good = host.dispatch(&r1, 1);
    let other = Dispatch { target_closure: closure("evil"), ..good.clone() };
    assert_eq!(reject_reason(&mut host, other, &r1), "not-dispatched-closure");
    let late = Dispatch { wave: WaveIndex(1), ..good.clone() };
    assert_eq!(reject_reason(&mut host, late, &r1), "wrong-wave");
    let channel = Dispatch { channel: "edge".parse().unwrap(), ..good.clone() };
    assert_eq!(reject_reason(&mut host, channel, &r1), "not-dispatched-closure");
    let foreign = Release { host: "web-2", ..r1.clone() };
    assert_eq!(reject_reason(&mut host, good.clone(), &foreign), "host-mismatch");
    let changed = Release { policy: "halt", ..r1.clone() };
    assert_eq!(reject_reason(&mut host, good.clone(), &changed), "ref-conflict");
    let older = release("r0", 4, "a");
    let dispatch = host.dispatch(&older, 1);
    assert_eq!(reject_reason(&mut host, dispatch, &older), "serial-regressed");
    let twin = Release { fleet: "another", ..release("r2", 5, "a") };
    let dispatch = host.dispatch(&twin, 1);
    assert_eq!(reject_reason(&mut host, dispatch, &twin), "serial-conflict");
    assert!(host.core.activated().is_empty());
    host.offer(&r1, 1);
    host.post_all();
    assert!(activates(&host.take_told()), "the real one is still taken");
}

/// A plan that does not verify: reported where nothing of it is believed, and nothing is touched.
#[test]
fn a_plan_that_does_not_verify_is_rejected_in_a_journal_without_a_plan() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    let rejection = Rejection { reason: "stale".to_owned(), detail: None };
    host.offer_with(host.dispatch(&r1, 1), Err(rejection));
    assert!(!host.core.wants_dispatch(host.mono), "it owes an answer");
    let request = host.post().unwrap();
    assert_eq!(rejected_for(&request), "stale");
    host.answer(&request, PostOutcome::Accepted { last_seq: request.events[0].seq });
    assert!(host.core.wants_dispatch(host.mono));
    assert!(host.disk.journals[0].proof.is_none());
    assert_eq!(host.core.meta().serial.0, 0);
    host.offer(&r1, 1);
    assert!(host.disk.journals[0].proof.is_some(), "the verified plan takes the journal over");
    assert_eq!(host.kinds(&r1), ["dispatch_reject", "dispatch_ack"]);
    host.post_all();
    assert!(activates(&host.take_told()));
    host.restart();
    assert!(activates(&host.take_told()));
}

#[test]
fn journals_without_a_plan_are_few_and_go_when_nobody_knows_the_rollout() {
    let mut host = Host::new();
    let rejection = || Rejection { reason: "stale".to_owned(), detail: None };
    for reference in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        let release = release(reference, 1, "a");
        host.offer_with(host.dispatch(&release, 1), Err(rejection()));
        host.post_all();
    }
    assert_eq!(host.disk.journals.len(), 8);
    let r1 = release("r1", 1, "a");
    host.offer_with(host.dispatch(&r1, 1), Err(rejection()));
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::UnknownRollout);
    assert_eq!(host.kinds(&r1), [""; 0]);
}

/// A busy host takes no other dispatch.
#[test]
fn a_host_in_the_middle_of_it_wants_nothing_else() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.soaks(&r1, 1);
    assert!(!host.core.wants_dispatch(host.mono));
    assert!(!host.has_logged());
    host.offer(&r2, 1);
    assert_eq!(host.kinds(&r2), [""; 0]);
    assert!(host.has_logged(), "a person can read why");
}

#[test]
fn a_deferred_host_waits_for_its_reboot_and_takes_other_dispatches() {
    use wavegate_state_machine::agent::ActivationOutcome;
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    let outcome = ActivationOutcome::Deferred { component: "kernel".to_owned() };
    host.input(AgentInput::ActivationEnded { rollout_id: r1.id(), outcome });
    host.post_all();
    assert_eq!(host.state(&r1), HostState::Deferred);
    assert!(host.core.wants_dispatch(host.mono));
    host.restart();
    assert_eq!(host.state(&r1), HostState::Deferred);
    host.current = Some(closure("a"));
    host.reboot();
    assert_eq!(host.state(&r1), HostState::Soaking);
}
