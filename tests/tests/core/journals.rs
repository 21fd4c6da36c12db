//! Journals as the control plane keeps them: order, repeats, divergence, and what is written when.

use std::time::Duration;

use wavegate_control_plane::core::{Answer, Input, Token, Write};
use wavegate_proto::event::Event;
use wavegate_proto::ids::Seq;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::agent::EventsRequest;

use crate::harness::{Cp, Journal, hours, id, minutes, name, split};
use crate::release;

#[test]
fn d1_d2_an_answer_comes_in_one_step_with_everything_it_promises() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let dispatch = cp.take_dispatch("host-01");
    let ack = cp.ack_event("host-01", dispatch.attempt);
    let rollout_id = id("stable@r1");
    let now = cp.now();
    let journal = cp.host("host-01").journals.get_mut(&rollout_id).unwrap();
    let (journal_id, entry) = (journal.id, journal.append(now.wall, ack));
    let request =
        Box::new(EventsRequest { rollout_id, journal_id, replay: false, events: vec![entry] });
    let host = name("host-01");
    let outputs = cp.core.handle(now, Input::Events { host, request, reply: Token(77) });
    let (writes, replies) = split(outputs);
    assert!(
        matches!(replies[..], [(Token(77), Answer::Events(answer))] if answer.last_seq == Seq(1))
    );
    let wrote = |wanted: fn(&Write) -> bool| writes.iter().any(wanted);
    assert!(wrote(|w| matches!(w, Write::Log(row) if row.kind == "dispatch_ack")));
    assert!(wrote(|w| matches!(w, Write::HostRollout(row) if row.record.last_seq == Seq(1))));
    assert!(wrote(|w| matches!(w, Write::DispatchClosed { .. })));
    assert!(split(cp.core.plan(now)).1.is_empty(), "nobody is answered afterwards");
}

#[test]
fn d6_a_fleet_that_waits_adds_nothing_to_the_log() {
    let mut cp = Cp::with(&[release("r1", "one", &[2, 30]).budget("all", 1, 1)]);
    cp.ack("host-01");
    cp.advance(minutes(1));
    let rows = cp.disk.log.len();
    for _ in 0..1000 {
        cp.tick();
    }
    cp.advance(hours(1));
    assert_eq!(cp.disk.log.len(), rows);
}

#[test]
fn d6_heartbeats_of_a_known_host_touch_no_disk() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.converge("host-01");
    cp.heartbeat("host-01").unwrap();
    let heartbeat = Box::new(cp.hosts[&name("host-01")].heartbeat(cp.now().wall));
    let (host, cert_expires_at) = (name("host-01"), None);
    let input = Input::Heartbeat { host, heartbeat, cert_expires_at, reply: Token(77) };
    assert!(split(cp.core.handle(cp.now(), input)).0.is_empty());
}

#[test]
fn repeats_are_skipped_and_gaps_are_named() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    let rollout = id("stable@r1");
    let journal = cp.host("host-01").journals[&rollout].clone();
    let rows = cp.disk.log.len();
    let again = cp.post("host-01", &rollout, journal.id, false, journal.entries.clone());
    assert_eq!(again.unwrap(), Seq(2));
    assert_eq!(cp.disk.log.len(), rows);
    let mut late = journal.entries[1].clone();
    late.seq = Seq(5);
    let problem = cp.post("host-01", &rollout, journal.id, false, vec![late]).unwrap_err();
    assert_eq!((problem.code(), problem.expected_seq), ("seq-gap", Some(Seq(3))));
    let mut other = journal.entries[0].clone();
    other.event = Event::Recovered {};
    let problem = cp.post("host-01", &rollout, journal.id, false, vec![other]).unwrap_err();
    assert_eq!(problem.code(), "journal-diverged");
}

#[test]
fn what_stands_before_a_refused_event_is_committed() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let dispatch = cp.take_dispatch("host-01");
    let rollout = id("stable@r1");
    let mut journal = cp.host("host-01").journals[&rollout].clone();
    let ack = cp.ack_event("host-01", dispatch.attempt);
    for event in [ack, Event::Recovered {}, Event::Recovered {}] {
        journal.append(cp.now().wall, event);
    }
    let events = journal.entries.clone();
    let problem = cp.post("host-01", &rollout, journal.id, false, events).unwrap_err();
    assert_eq!((problem.seq, problem.last_seq), (Some(Seq(2)), Some(Seq(2))));
    assert_eq!(cp.logged("dispatch_ack"), 1);
    assert_eq!(cp.logged("event_refused"), 1, "what stands after it was not read");
}

#[test]
fn a_new_journal_closes_the_old_one() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    cp.activate("host-01");
    let rollout = id("stable@r1");
    let old = cp.host("host-01").journals[&rollout].clone();
    let record = cp.core.fleet().placement(&rollout, &name("host-01")).unwrap().record.clone();
    cp.host("host-01").journals.insert(rollout.clone(), Journal::new(900));
    let opened = Event::JournalOpened { snapshot: Box::new(record.clone()) };
    assert_eq!(cp.event("host-01", opened).unwrap(), Seq(1));
    assert_eq!(cp.state("host-01"), record.state, "it goes on from the record as it stands");
    assert_eq!(cp.logged("journal_replaced"), 1);
    let problem = cp.post("host-01", &rollout, old.id, false, old.entries).unwrap_err();
    assert_eq!((problem.status, problem.code()), (409, "journal-replaced"));
}

#[test]
fn g29_a_refused_event_is_no_divergence_in_either_form() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    let rollout = id("stable@r1");
    assert!(cp.event("host-01", Event::Recovered {}).is_err());
    let answer = cp.heartbeat("host-01").unwrap();
    assert!(answer.new_journal.is_empty() && answer.replay.is_empty(), "the agent knows");
    let journal = cp.host("host-01").journals.get_mut(&rollout).unwrap();
    journal.entries.last_mut().unwrap().event = Event::Recovered {};
    let answer = cp.heartbeat("host-01").unwrap();
    assert!(answer.new_journal.is_empty(), "the agent has not read the refusal yet");
    assert_eq!(cp.logged("journal_diverged"), 0);
}

#[test]
fn a_journal_with_another_head_has_diverged_and_is_opened_anew() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    let rollout = id("stable@r1");
    let journal = cp.host("host-01").journals.get_mut(&rollout).unwrap();
    journal.entries.pop();
    assert!(cp.heartbeat("host-01").unwrap().new_journal.is_empty(), "it may be a late one");
    cp.skip_time(Duration::from_secs(121));
    for _ in 0..3 {
        assert_eq!(cp.heartbeat("host-01").unwrap().new_journal, std::slice::from_ref(&rollout));
    }
    assert_eq!(cp.logged("journal_diverged"), 1, "noted once");
}

#[test]
fn an_old_release_s_journal_with_a_bound_too_large_is_refused_alone() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    let problem =
        cp.event("host-01", Event::ActivationDeferred { component: "x".repeat(5000) }).unwrap_err();
    assert_eq!((problem.status, problem.reason.as_deref()), (422, Some("too-large")));
    cp.activate("host-01");
}

#[test]
fn e18_a_failure_that_comes_back_as_a_snapshot_is_tried_again_too() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.fail_infra("host-01");
    let rollout = id("stable@r1");
    let record = cp.core.fleet().placement(&rollout, &name("host-01")).unwrap().record.clone();
    let old = cp.host("host-01").journals[&rollout].clone();
    let mut anew = Journal::new(900);
    anew.proof = old.proof;
    anew.append(cp.now().wall, Event::JournalOpened { snapshot: Box::new(record) });
    cp.host("host-01").journals.insert(rollout, anew);
    cp.wipe();
    cp.everybody_reports();
    assert_eq!(cp.state("host-01"), HostState::Reverted);
    assert!(cp.dispatched().is_empty(), "it waits");
    cp.advance(minutes(1));
    assert_eq!(cp.dispatched(), ["host-01"]);
}
