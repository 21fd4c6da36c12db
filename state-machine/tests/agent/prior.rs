//! What the agent remembers of closures: where a host goes back to, what counts as unchanged, what the cache
//! must keep.
//!
//! Not here: the rollback itself (see `rollback`).

use wavegate_proto::event::{Event, FailureClass};
use wavegate_proto::ids::{Attempt, ClosureId};
use wavegate_proto::wire::agent::Dispatch;
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentInput, OfferedPlan, RollbackOutcome, Verdict,
};

use crate::host::Host;
use crate::plans::{Release, closure, release};

/// The activation of an attempt ends, by the host's own fault.
fn breaks(host: &mut Host, release: &Release, changed: bool) {
    let outcome = ActivationOutcome::Failed {
        class: FailureClass::Host,
        reason: "disk full".to_owned(),
        exit_code: None,
        stderr_tail: None,
        changed,
    };
    host.input(AgentInput::ActivationEnded { rollout_id: release.id(), outcome });
}

fn verdicts(host: &Host) -> Vec<(ClosureId, Verdict)> {
    host.core.activated().iter().map(|one| (one.closure.clone(), one.verdict)).collect()
}

/// G9, case by case: what a dispatch of `r` notes as the place to go back to.
#[test]
fn g9_which_closure_is_the_prior_one() {
    let nothing_of_ours = Host::new();
    let mut by_hand = Host::new();
    by_hand.current = Some(closure("target"));
    let mut something = Host::new();
    something.current = Some(closure("before"));

    // One attempt was made and the host went back; then a person switched by hand.
    let target = release("r", 9, "target");
    let mut switched = something_after_a_failed_attempt(&target);
    switched.current = Some(closure("by hand"));
    let mut still_there = something_after_a_failed_attempt(&target);
    still_there.current = Some(closure("target"));

    let mut moved_on = Host::new();
    for (reference, serial, name) in [("r1", 1, "a"), ("r2", 2, "b")] {
        moved_on.converges(&release(reference, serial, name), 1);
    }
    let mut on_the_older = Host::new();
    for (reference, serial, name) in [("r1", 1, "a"), ("r2", 2, "b")] {
        on_the_older.converges(&release(reference, serial, name), 1);
    }
    on_the_older.current = Some(closure("a"));
    let mut lost_it = Host::new();
    for (reference, serial, name) in [("r1", 1, "a"), ("r2", 2, "b")] {
        lost_it.converges(&release(reference, serial, name), 1);
    }
    lost_it.current = Some(closure("by hand"));

    for (case, mut host, attempt, expected) in [
        ("nothing of ours runs", nothing_of_ours, 1, None),
        ("the target runs before its first attempt", by_hand, 1, Some("target")),
        ("something else runs", something, 1, Some("before")),
        ("switched by hand since the last attempt", switched, 2, Some("by hand")),
        ("the target runs from the last attempt", still_there, 2, Some("before")),
        ("what runs has converged", moved_on, 1, Some("b")),
        ("what runs has converged before the last", on_the_older, 1, Some("a")),
        ("what runs has not: the last that has", lost_it, 1, Some("b")),
    ] {
        host.offer(&target, attempt);
        assert_eq!(host.record(&target).prior_closure, expected.map(closure), "{case}");
    }
}

fn something_after_a_failed_attempt(target: &Release) -> Host {
    let mut host = Host::new();
    host.current = Some(closure("before"));
    host.offer(target, 1);
    host.post_all();
    breaks(&mut host, target, true);
    host.rolled_back(target, Some(closure("before")));
    host.post_all();
    host
}

/// What ran before the agent came is a place to go back to, also when its journal is gone.
#[test]
fn g9_what_ran_before_is_remembered_without_a_verdict() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.current = Some(closure("before"));
    host.offer(&r1, 1);
    assert_eq!(verdicts(&host), [(closure("before"), Verdict::Unproven)]);
    host.post_all();
    assert_eq!(verdicts(&host)[1], (closure("a"), Verdict::Unproven));
    breaks(&mut host, &r1, false);
    host.converges(&r1, 2);
    host.offer(&r2, 1);
    let known = [(closure("before"), Verdict::Unproven), (closure("a"), Verdict::Converged)];
    assert_eq!(verdicts(&host), known, "what is known keeps its verdict");
}

/// A closure that has converged here stays proven when it is activated again, with the same checks.
#[test]
fn g9_g23_a_verdict_stands_for_the_same_closure_with_the_same_checks() {
    let system = |reference, serial, checks| Release {
        checks: Some(checks),
        ..release(reference, serial, "nixos")
    };
    for (checks, expected) in [("checks", Verdict::Converged), ("others", Verdict::Unproven)] {
        let mut host = Host::new();
        host.converges(&system("r1", 1, "checks"), 1);
        host.converges(&release("r2", 2, "b"), 1);
        host.offer(&system("r3", 3, checks), 1);
        host.post_all();
        let last = verdicts(&host).pop().unwrap();
        assert_eq!(last, (closure("nixos"), expected), "{checks}");
        assert_eq!(verdicts(&host).len(), 2, "one row a closure");
    }
}

/// G23: each reason for which a host that was to carry does not.
#[test]
fn g23_a_dispatch_without_change_is_rejected_with_what_has_changed() {
    let (r1, r2) = (release("r1", 1, "a"), release("r2", 2, "a"));
    let reason = |host: &mut Host, offered| {
        let dispatch = Dispatch { no_change: true, ..host.dispatch(&r2, 1) };
        host.offer_with(dispatch, Ok(offered));
        let request = host.post().unwrap();
        match request.events.into_iter().next_back().unwrap().event {
            Event::DispatchReject { reason, detail } => {
                assert_eq!(reason, "not-unchanged");
                detail.unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    let converged = || {
        let mut host = Host::new();
        host.converges(&r1, 1);
        host
    };
    let mut moved = converged();
    moved.current = Some(closure("something"));
    assert_eq!(reason(&mut moved, r2.offered()), "the host runs something else");
    let mut stranger = Host::new();
    stranger.current = Some(closure("a"));
    assert_eq!(reason(&mut stranger, r2.offered()), "not activated by this agent");
    let mut unproven = Host::new();
    unproven.current = Some(closure("before"));
    let halting = Release { policy: "halt", ..r1.clone() };
    unproven.offer(&halting, 1);
    unproven.post_all();
    breaks(&mut unproven, &halting, true);
    unproven.post_all();
    unproven.current = Some(closure("a"));
    assert_eq!(reason(&mut unproven, r2.offered()), "never converged here");
    let others = Release { checks: Some("others"), ..release("r2", 2, "nixos") };
    let mut system = Host::new();
    system.converges(&Release { checks: Some("checks"), ..release("r1", 1, "nixos") }, 1);
    let dispatch = Dispatch { no_change: true, ..system.dispatch(&others, 1) };
    system.offer_with(dispatch, Ok(others.offered()));
    assert_eq!(system.last_kind(&others), "dispatch_reject");
    let no_probes = OfferedPlan { probes: None, ..r2.offered() };
    assert_eq!(reason(&mut converged(), no_probes), "its probes are not at hand");
    let mut sick = converged();
    sick.probe(&r1, "http", wavegate_proto::event::ProbeOutcome::Fail);
    sick.advance(crate::plans::THRESHOLD_SECS);
    assert_eq!(sick.last_kind(&r1), "degraded");
    sick.post_all();
    assert_eq!(reason(&mut sick, r2.offered()), "the host is degraded");
}

#[test]
fn an_attempt_that_was_made_before_is_rejected() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 2);
    host.post_all();
    breaks(&mut host, &r1, false);
    host.post_all();
    for stale in [1, 2] {
        host.offer(&r1, stale);
        assert_eq!(host.last_kind(&r1), "dispatch_reject");
        host.post_all();
    }
    host.offer(&r1, 3);
    assert_eq!(host.record(&r1).attempt, Attempt(3));
}

#[test]
fn the_cache_keeps_what_is_held_what_runs_and_where_to_go_back() {
    let mut host = Host::new();
    assert_eq!(host.core.documents_in_use().count(), 0);
    host.current = Some(closure("before"));
    let r1 = release("r1", 1, "a");
    host.offer(&r1, 1);
    let in_use = |host: &Host| host.core.documents_in_use().collect::<Vec<_>>();
    let documents = |names: [&str; 3]| names.map(|name| closure(name).blob().unwrap());
    assert_eq!(in_use(&host), documents(["a", "before", "before"]));
    host.post_all();
    host.activated(&r1);
    assert_eq!(in_use(&host), documents(["a", "before", "a"]));
}

/// The serial only rises, and is written once.
#[test]
fn g10_the_serial_accepted_rises_and_is_written_once() {
    let (mut host, r1) = (Host::new(), release("r1", 5, "a"));
    host.offer(&r1, 1);
    assert_eq!((host.core.meta().serial.0, host.notes_written), (5, 1));
    host.refuse_next();
    host.offer(&r1, 1);
    assert_eq!((host.core.meta().serial.0, host.notes_written), (5, 1));
    host.refuse_next();
    host.offer(&release("r2", 7, "b"), 1);
    assert_eq!((host.core.meta().serial.0, host.notes_written), (7, 2));
    host.refuse_next();
    let older = release("r3", 6, "c");
    host.offer(&older, 1);
    assert_eq!(host.last_kind(&older), "dispatch_reject");
    assert_eq!(host.core.meta().serial.0, 7);
}

/// What converged is remembered again where the note of it is gone, and only then.
#[test]
fn what_has_converged_is_remembered_again_at_a_start() {
    type Edit = fn(&mut Vec<wavegate_state_machine::agent::Activated>);
    let r1 = Release { checks: Some("checks"), ..release("r1", 1, "nixos") };
    let edits: [(&str, Edit, usize); 5] = [
        ("as it is", |_| {}, 0),
        ("gone", Vec::clear, 1),
        ("of another closure", |all| all[0].closure = closure("b"), 1),
        ("with other checks", |all| all[0].checks = None, 1),
        ("without a verdict", |all| all[0].verdict = Verdict::Unproven, 1),
    ];
    for (case, edit, written) in edits {
        let mut host = Host::new();
        host.converges(&r1, 1);
        edit(&mut host.disk.activated);
        host.notes_written = 0;
        host.restart();
        assert_eq!(host.notes_written, written, "{case}");
        let last = verdicts(&host).pop();
        assert_eq!(last, Some((closure("nixos"), Verdict::Converged)), "{case}");
    }
}

/// A carry that has no answer yet has not happened, and is no verdict.
#[test]
fn g3_a_carry_without_an_answer_is_no_verdict_at_a_start() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "a"));
    host.converges(&r1, 1);
    host.offer_unchanged(&r2);
    host.lose_journal(&r1);
    host.disk.activated.clear();
    host.restart();
    assert_eq!(verdicts(&host), []);
    host.post_all();
    assert_eq!(verdicts(&host), [(closure("a"), Verdict::Converged)]);
}

#[test]
fn the_end_of_what_is_not_going_on_changes_nothing() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    breaks(&mut host, &r1, true);
    assert_eq!(host.kinds(&r1), ["dispatch_ack"], "it has not begun");
    assert!(host.has_logged());
    host.post_all();
    let nowhere = RollbackOutcome::Complete { closure: None, exit_code: 0 };
    host.input(AgentInput::RollbackEnded { rollout_id: r1.id(), outcome: nowhere });
    assert_eq!(host.kinds(&r1), ["dispatch_ack", "activation_started"], "nothing is rolled back");
}
