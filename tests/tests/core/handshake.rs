//! The dispatch handshake: leases, acknowledgements, replays, and what a heartbeat may conclude.

use std::time::Duration;

use wavegate_control_plane::core::{Answer, Input};
use wavegate_proto::event::{ActivationMethod, Event, FailureClass};
use wavegate_proto::ids::{Attempt, JournalId, Seq};
use wavegate_proto::record::HostState;
use wavegate_tests::release_kit::closure;

use crate::harness::{Cp, Journal, equal_but_for, id, minutes, name};
use crate::{patient, release};

/// No heartbeat is on its way for so long.
const LATE: Duration = Duration::from_secs(121);

#[test]
fn asking_again_gives_the_same_dispatch() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let first = cp.dispatch("host-01").unwrap();
    assert_eq!(cp.dispatch("host-01").unwrap(), first);
    cp.ack("host-01");
    assert!(cp.dispatch("host-01").is_none());
}

#[test]
fn g4_an_ack_after_the_lease_lapsed_is_refused_though_no_tick_came_between() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let dispatch = cp.take_dispatch("host-01");
    let lease = dispatch.expires_at.secs_since(dispatch.issued_at);
    cp.skip_time(Duration::from_secs(u64::try_from(lease).unwrap()));
    let ack = cp.ack_event("host-01", dispatch.attempt);
    let problem = cp.event("host-01", ack).unwrap_err();
    assert_eq!((problem.status, problem.reason.as_deref()), (422, Some("lease-lapsed")));
    assert_eq!(cp.state("host-01"), HostState::Pending);
}

#[test]
fn g4_g24_a_lease_runs_on_the_monotonic_clock() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let dispatch = cp.take_dispatch("host-01");
    cp.set_wall_clock_forward(minutes(60));
    cp.tick();
    let ack = cp.ack_event("host-01", dispatch.attempt);
    cp.event("host-01", ack).unwrap();
    assert_eq!(cp.state("host-01"), HostState::Activating);
}

#[test]
fn g6_an_expired_lease_is_offered_again_after_a_back_off() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.advance(minutes(2));
    assert!(cp.dispatched().is_empty());
    assert_eq!(cp.logged("dispatch_expired"), 1);
    assert_eq!(cp.held_by("host-01"), ["back-off"]);
    cp.advance(Duration::from_secs(30));
    assert_eq!(cp.dispatch("host-01").unwrap().attempt, Attempt(2));
}

#[test]
fn g3_a_refused_seq_is_refused_again_and_no_200_covers_it() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.take_dispatch("host-01");
    let ack = cp.ack_event("host-01", Attempt(7));
    let first = cp.event("host-01", ack.clone()).unwrap_err();
    assert_eq!(
        (first.code(), first.seq, first.last_seq),
        ("event-refused", Some(Seq(1)), Some(Seq(1)))
    );
    assert_eq!(first.reason.as_deref(), Some("wrong-attempt"));
    let rollout = id("stable@r1");
    let journal = cp.host("host-01").journals[&rollout].id;
    let mut entry = cp.host("host-01").journals[&rollout].entries[0].clone();
    entry.event = ack;
    let rows = cp.disk.log.len();
    let again = cp.post("host-01", &rollout, journal, false, vec![entry]).unwrap_err();
    assert_eq!(again, first);
    assert_eq!(cp.disk.log.len(), rows, "said once, logged once");
    cp.restart();
    cp.report("host-01");
    let started = Event::ActivationStarted { method: ActivationMethod::Bundle };
    assert!(cp.event("host-01", started).is_err(), "nothing was started");
    assert_eq!(cp.state("host-01"), HostState::Pending);
}

#[test]
fn d4_a_refused_event_uses_up_its_seq_and_the_next_goes_on() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let dispatch = cp.take_dispatch("host-01");
    assert!(cp.event("host-01", Event::Recovered {}).is_err());
    let ack = cp.ack_event("host-01", dispatch.attempt);
    assert_eq!(cp.event("host-01", ack).unwrap(), Seq(2));
    assert_eq!(cp.logged("event_refused"), 1);
    assert_eq!(cp.state("host-01"), HostState::Activating);
}

#[test]
fn g5_a_replay_nobody_asked_for_is_no_replay() {
    let mut cp = Cp::with(&[release("r1", "one", &[2]).budget("all", 1, 1)]);
    let rollout = id("stable@r1");
    let mut journal = Journal::new(900);
    let ack = cp.ack_event("host-02", Attempt(1));
    let entry = journal.append(cp.now().wall, ack);
    let problem = cp.post("host-02", &rollout, journal.id, true, vec![entry]).unwrap_err();
    assert_eq!((problem.code(), problem.expected_seq), ("seq-gap", Some(Seq(1))));
    assert_eq!(cp.state("host-02"), HostState::Pending);
    assert_eq!(cp.logged("event_refused"), 0, "its seqs are not used up");
}

#[test]
fn g5_a_replay_that_an_earlier_process_asked_for_is_asked_for_again() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.converge("host-01");
    let before = cp.picture();
    cp.wipe();
    let asked = cp.heartbeat("host-01").unwrap().replay;
    let rollout = id("stable@r1");
    assert_eq!(asked[&rollout], Seq(1));
    cp.restart();
    let journal = cp.host("host-01").journals[&rollout].clone();
    let sent = cp.post("host-01", &rollout, journal.id, true, journal.entries);
    assert_eq!(sent.unwrap_err().code(), "seq-gap");
    cp.everybody_reports();
    assert_eq!(cp.state("host-01"), HostState::Converged);
    let except = ["opened_at", "last_seen_at", "dispatched_at", "serial", "since"];
    equal_but_for(&before["records"], &cp.picture()["records"], &except);
}

#[test]
fn g5_only_the_journal_that_was_asked_for_may_be_replayed() {
    let mut cp = Cp::with(&[release("r1", "one", &[2]).budget("all", 1, 1)]);
    let rollout = id("stable@r1");
    let mut asked = Journal::new(900);
    let ack = cp.ack_event("host-02", Attempt(1));
    asked.append(cp.now().wall, ack);
    cp.host("host-02").journals.insert(rollout.clone(), asked.clone());
    let answer = cp.heartbeat("host-02").unwrap();
    assert_eq!(answer.replay[&rollout], Seq(1));
    let other = JournalId(uuid::Uuid::from_u128(901));
    let problem = cp.post("host-02", &rollout, other, true, asked.entries).unwrap_err();
    assert_eq!((problem.code(), problem.expected_seq), ("seq-gap", Some(Seq(1))));
}

#[test]
fn g5_a_replay_counts_up_to_the_announced_seq_only() {
    let mut cp = Cp::with(&[release("r1", "one", &[2]).budget("all", 1, 1)]);
    let rollout = id("stable@r1");
    let mut journal = Journal::new(900);
    let failed = Event::ActivationFailed {
        class: FailureClass::Host,
        reason: "no room".to_owned(),
        exit_code: None,
        stderr_tail: None,
        changed: false,
    };
    // The second attempt is one that a replay would let in, and nothing else would.
    for event in [cp.ack_event("host-02", Attempt(1)), failed, cp.ack_event("host-02", Attempt(2))]
    {
        journal.append(cp.now().wall, event);
    }
    let mut announced = journal.clone();
    announced.entries.truncate(2);
    cp.host("host-02").journals.insert(rollout.clone(), announced);
    cp.heartbeat("host-02").unwrap();
    let problem = cp.post("host-02", &rollout, journal.id, true, journal.entries).unwrap_err();
    assert_eq!((problem.code(), problem.expected_seq), ("seq-gap", Some(Seq(3))));
    assert_eq!(cp.state("host-02"), HostState::Failed);
}

#[test]
fn e5_a_heartbeat_during_a_switch_does_not_complete_it() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    cp.host("host-01").running = Some(closure("one"));
    cp.advance(minutes(2));
    assert_eq!(cp.state("host-01"), HostState::Activating);
    let failed = Event::ActivationFailed {
        class: FailureClass::Artifact,
        reason: "the switch failed".to_owned(),
        exit_code: Some(4),
        stderr_tail: None,
        changed: true,
    };
    cp.event("host-01", failed).unwrap();
    assert_eq!(cp.state("host-01"), HostState::Failed);
}

/// D3: seqs are the agent's alone.
#[test]
fn d3_what_the_control_plane_concludes_uses_no_seq_of_the_agent() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    let journal = cp.host("host-01").journals.remove(&id("stable@r1")).unwrap();
    cp.host("host-01").running = Some(closure("one"));
    cp.heartbeat("host-01").unwrap();
    assert_eq!(cp.state("host-01"), HostState::Activating, "the heartbeat may be a late one");
    cp.skip_time(LATE);
    cp.heartbeat("host-01").unwrap();
    assert_eq!(cp.state("host-01"), HostState::Soaking, "switched, and its disk is new");
    let row = cp.disk.log.iter().find(|row| row.synthetic).unwrap();
    assert_eq!((row.kind, row.actor.as_str()), ("activation_complete", "control-plane"));
    let record = &cp.core.fleet().placement(&id("stable@r1"), &name("host-01")).unwrap().record;
    assert_eq!(record.last_seq, Seq(journal.entries.len() as u64));
    assert!(record.synthetic && !record.topology_known, "nothing is said of its health");
    cp.host("host-01").journals.insert(id("stable@r1"), journal);
    cp.event("host-01", Event::ProbeTopology { probes: Vec::new() }).unwrap();
}

#[test]
fn a_lost_rollback_ack_is_concluded_from_the_prior_closure() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.converge("host-01");
    cp.publish(&[release("r2", "bad", &[1])]);
    cp.fail("host-01");
    cp.host("host-01").journals.clear();
    cp.host("host-01").running = Some(closure("one"));
    cp.skip_time(LATE);
    cp.heartbeat("host-01").unwrap();
    assert_eq!(cp.state("host-01"), HostState::Reverted);
    assert_eq!(cp.quarantines().len(), 1);
}

/// E5: found by seed 1043 of the simulator's stories.
#[test]
fn e5_a_heartbeat_that_was_overtaken_concludes_nothing() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.converge("host-01");
    cp.publish(&[release("r2", "bad", &[1])]);
    let at = cp.now().wall;
    let overtaken = Box::new(cp.host("host-01").heartbeat(at));
    cp.fail("host-01");
    cp.host("host-01").uptime_secs += 30;
    cp.heartbeat("host-01").unwrap();
    let host = name("host-01");
    let answer = cp.send(|reply| Input::Heartbeat {
        host,
        heartbeat: overtaken,
        cert_expires_at: None,
        reply,
    });
    assert!(matches!(answer, Some(Answer::Heartbeat(answer)) if answer.new_journal.is_empty()));
    assert_eq!(cp.state("host-01"), HostState::Failed, "it is still rolling back");
    cp.roll_back("host-01");
    assert_eq!(cp.state("host-01"), HostState::Reverted);
}

/// Events overtake heartbeats as well: what they tell is newer than a heartbeat without their journal, or with
/// less of it.
#[test]
fn e5_a_heartbeat_that_events_have_overtaken_concludes_nothing() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.converge("host-01");
    cp.publish(&[release("r2", "bad", &[1])]);
    let at = cp.now().wall;
    let before_the_journal = cp.host("host-01").heartbeat(at);
    cp.ack("host-01");
    let before_the_failure = cp.host("host-01").heartbeat(at);
    cp.activate("host-01");
    cp.fail_health("host-01");
    for overtaken in [before_the_failure, before_the_journal] {
        let (host, heartbeat) = (name("host-01"), Box::new(overtaken));
        let answer =
            cp.send(|reply| Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply });
        assert!(matches!(answer, Some(Answer::Heartbeat(answer)) if answer.new_journal.is_empty()));
        assert_eq!(cp.state("host-01"), HostState::Failed, "it is still rolling back");
    }
    assert_eq!(cp.logged("journal_diverged"), 0);
    cp.roll_back("host-01");
    assert_eq!(cp.state("host-01"), HostState::Reverted);
}

/// The same after a restart: nobody remembers when the last event came. Found by seed 6991 of the simulator's
/// stories.
#[test]
fn e5_a_heartbeat_from_before_a_restart_concludes_nothing() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.converge("host-01");
    cp.publish(&[release("r2", "bad", &[1])]);
    let (at, host) = (cp.now().wall, name("host-01"));
    let heartbeat = Box::new(cp.host("host-01").heartbeat(at));
    cp.fail("host-01");
    cp.restart();
    cp.send(|reply| Input::Heartbeat { host, heartbeat, cert_expires_at: None, reply });
    assert_eq!(cp.state("host-01"), HostState::Failed, "it is still rolling back");
    cp.roll_back("host-01");
    assert_eq!(cp.state("host-01"), HostState::Reverted);
    assert_eq!(cp.logged("event_refused"), 0);
}

/// A machine that was set back goes on with a smaller uptime in the same boot: it must not be silent until
/// it has caught up.
#[test]
fn a_machine_that_was_set_back_by_more_than_a_late_heartbeat_is_heard() {
    for (set_back_secs, heard) in [(120, false), (121, true)] {
        let mut cp = Cp::with(&[release("r1", "one", &[1])]);
        cp.host("host-01").uptime_secs = 1000;
        cp.heartbeat("host-01").unwrap();
        cp.skip_time(minutes(2));
        cp.host("host-01").uptime_secs -= set_back_secs;
        cp.heartbeat("host-01").unwrap();
        let last = cp.core.fleet().hosts[&name("host-01")].liveness.last_seen_at;
        assert_eq!(last == Some(cp.now().wall), heard, "{set_back_secs} s");
    }
}

#[test]
fn d5_an_agent_that_names_its_journals_is_sent_no_snapshot() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    cp.activate("host-01");
    assert!(cp.heartbeat("host-01").unwrap().bootstrap.is_empty());
    cp.host("host-01").journals.clear();
    let bootstrap = cp.heartbeat("host-01").unwrap().bootstrap;
    assert_eq!(bootstrap.len(), 1);
    assert_eq!(bootstrap[0].state, HostState::Soaking);
    assert_eq!(bootstrap[0].probes.len(), 1, "complete with its probes");
}

#[test]
fn e11_superseded_dispatches_are_withdrawn_and_never_delivered() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    let old = cp.take_dispatch("host-01");
    cp.publish(&[release("r2", "two", &[2])]);
    assert_eq!(cp.logged("dispatch_withdrawn"), 2);
    let new = cp.dispatch("host-01").unwrap();
    assert_eq!(new.rollout_id, id("stable@r2"));
    let ack = cp.ack_event("host-01", old.attempt);
    assert!(cp.event("host-01", ack).is_err(), "the old one is not accepted any more");
    assert_eq!(cp.dispatch("host-01").unwrap(), new);
}

#[test]
fn g9_a_host_in_the_middle_of_one_rollout_is_not_dispatched_in_the_next() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    cp.ack("host-01");
    cp.publish(&[release("r2", "two", &[1])]);
    assert_eq!(cp.held_by("host-01"), ["busy-elsewhere"], "activating");
    cp.activate("host-01");
    assert_eq!(cp.held_by("host-01"), ["busy-elsewhere"], "soaking");
    cp.fail_health("host-01");
    assert_eq!(cp.held_by("host-01"), ["busy-elsewhere"], "rolling back");
    assert!(cp.dispatched().is_empty());
    cp.roll_back("host-01");
    assert_eq!(cp.dispatch("host-01").unwrap().rollout_id, id("stable@r2"));
}

#[test]
fn o7_only_the_host_that_has_a_dispatch_is_woken() {
    use wavegate_control_plane::core::{Answer, Input, Token};
    let mut cp = Cp::silent_with(&[release("r1", "one", &[2]).budget("all", 1, 1)]);
    let (first, second) = (Token(9001), Token(9002));
    for (host, token) in [("host-01", first), ("host-02", second)] {
        cp.send(|_| Input::Poll { host: name(host), reply: token });
    }
    assert!(cp.answers.is_empty(), "both wait");
    cp.everybody_reports();
    let woken = cp.answers.remove(&first).unwrap();
    assert!(matches!(woken, Answer::Dispatch(Some(_))));
    cp.ack("host-01");
    cp.activate("host-01");
    assert!(cp.answers.is_empty(), "the other poll is parked all the while");
    cp.settle("host-01");
    let woken = cp.answers.remove(&second).unwrap();
    assert!(matches!(woken, Answer::Dispatch(Some(_))), "the same poll has its own dispatch");
    assert!(cp.answers.is_empty());
}

#[test]
fn an_attempt_that_a_host_knows_of_is_not_issued_again_by_a_new_database() {
    let mut cp = Cp::with(&[release("r1", "one", &[1])]);
    let dispatch = cp.take_dispatch("host-01");
    let ack = cp.ack_event("host-01", dispatch.attempt);
    // It is written down, and its answer is lost with the database.
    cp.wipe();
    let refused = cp.event("host-01", ack).unwrap_err();
    assert_eq!(refused.reason.as_deref(), Some("no-lease"));
    cp.everybody_reports();
    assert_eq!(cp.dispatch("host-01").unwrap().attempt, Attempt(2));
    let made_up = cp.ack_event("host-01", Attempt(u32::MAX));
    cp.event("host-01", made_up).unwrap_err();
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.dispatch("host-01").unwrap().attempt, Attempt(2), "no number runs out");
}

/// Load is shaped host by host: who is being worked on keeps the pace, and no silence becomes a death.
#[test]
fn heartbeats_become_rarer_under_load_but_not_where_somebody_works() {
    let mut cp = Cp::with(&[patient(release("r1", "good", &[1, 2]))]);
    cp.ack("host-01");
    for _ in 0..10 {
        cp.load(100);
    }
    let secs = |cp: &mut Cp, host| cp.heartbeat(host).unwrap().next_heartbeat_secs;
    let ordinary = secs(&mut cp, "host-01");
    let rare = secs(&mut cp, "host-02");
    assert!(rare > ordinary, "{rare} {ordinary}");
    cp.advance(Duration::from_secs(rare));
    let held = cp.held_by("host-02");
    assert!(!held.contains(&"offline".to_owned()), "{held:?}");
    for _ in 0..10 {
        cp.load(0);
    }
    assert_eq!(secs(&mut cp, "host-02"), ordinary);
}
