//! What is sent when: batches, turns, waiting, and answers that fit nothing.
//!
//! Not here: what an answer means for the host (see `dispatch`), replays (see `recovery`).

use wavegate_proto::event::{Event, JournalEntry, ProbeOutcome};
use wavegate_proto::ids::Seq;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::agent::{EventsRequest, MAX_EVENTS_BYTES, MAX_EVENTS_PER_REQUEST};
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_state_machine::agent::{
    AgentEffect, AgentInput, OfferOutcome, PostOutcome, Rejection,
};

use crate::host::{Host, LEASE_SECS};
use crate::plans::{Release, THRESHOLD_SECS, closure, release};

fn drifts(host: &mut Host, result: String) {
    let event = Event::DriftCorrected { id: "conf".parse().unwrap(), result };
    host.input(AgentInput::ResourceObserved { event });
}

/// A host that has converged, and nothing to send.
fn at_rest(r1: &Release) -> Host {
    let mut host = Host::new();
    host.converges(r1, 1);
    host
}

fn accepted(request: &EventsRequest) -> PostOutcome {
    PostOutcome::Accepted { last_seq: request.events.last().unwrap().seq }
}

fn refused(seq: Seq, last_seq: Seq) -> PostOutcome {
    PostOutcome::Refused { seq, reason: "no".to_owned(), last_seq }
}

fn asks_replay(host: &mut Host, release: &Release, from: u64) {
    let id = release.id();
    host.heartbeat_answered(|answer| {
        answer.replay.insert(id, Seq(from));
    });
}

#[test]
fn an_answer_to_something_else_is_ignored() {
    let (r1, r2) = (release("r1", 1, "a"), release("r2", 2, "b"));
    let mut host = at_rest(&r1);
    drifts(&mut host, "x".to_owned());
    let request = host.post().unwrap();
    let other_rollout = EventsRequest { rollout_id: r2.id(), ..request.clone() };
    let journal_id = "00000000-0000-4000-8000-00000000ffff".parse().unwrap();
    let other_journal = EventsRequest { journal_id, ..request.clone() };
    for stranger in [other_rollout, other_journal] {
        host.answer(&stranger, accepted(&request));
        assert_eq!(host.post(), None, "one is still under way");
    }
    host.answer(&request, accepted(&request));
    assert_eq!(host.post(), None);
    host.answer(&request, accepted(&request));
    drifts(&mut host, "y".to_owned());
    assert!(host.post().is_some());
}

/// What the answer is about may be gone by then.
#[test]
fn an_answer_about_a_journal_that_began_anew_meanwhile_permits_nothing() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    asks_replay(&mut host, &r1, 1);
    let request = host.post().unwrap();
    let id = r1.id();
    host.heartbeat_answered(|answer| answer.new_journal = vec![id]);
    assert_eq!(host.kinds(&r1), ["journal_opened"]);
    host.answer(&request, accepted(&request));
    let next = host.post().unwrap();
    assert_eq!(next.events[0].event.kind(), "journal_opened", "it is still to be answered");
}

/// An answer that is not about what was sent permits nothing, and the request is not repeated at once.
#[test]
fn an_answer_about_other_events_marks_nothing() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    for text in ["x", "y"] {
        drifts(&mut host, text.to_owned());
    }
    let first = host.heartbeat().rollouts[&r1.id()].last_seq.0 - 1;
    let (before, last, beyond) = (Seq(first - 1), Seq(first + 1), Seq(first + 2));
    for outcome in [
        PostOutcome::Accepted { last_seq: before },
        refused(before, last),
        refused(beyond, beyond),
        refused(Seq(first), before),
    ] {
        let request = host.post().unwrap();
        host.answer(&request, outcome.clone());
        assert_eq!(host.post(), None, "{outcome:?} is taken for no answer");
        host.advance(60);
    }
    let request = host.post().unwrap();
    assert_eq!(request.events.len(), 2, "everything is sent again");
    host.answer(&request, refused(Seq(first), last));
    assert_eq!(host.post(), None, "both are answered");
    asks_replay(&mut host, &r1, first);
    let again = host.post().unwrap().events;
    assert_eq!((&again[0].event, again[1].event.kind()), (&Event::Refused, "drift_corrected"));
}

/// Without an answer a journal waits twice as long each time, up to a minute.
#[test]
fn it_backs_off_twice_as_long_each_time() {
    let r1 = release("r1", 1, "a");
    let mut host = Host::new();
    let rejection = Rejection { reason: "stale".to_owned(), detail: None };
    host.offer_with(host.dispatch(&r1, 1), Err(rejection));
    for secs in [1, 2, 4, 8, 16, 32, 60, 60] {
        let request = host.post().unwrap();
        host.answer(&request, PostOutcome::Unavailable);
        assert_eq!(host.core.next_wakeup(host.mono), Some(host.mono.plus_secs(secs)));
        host.advance(secs - 1);
        assert_eq!(host.post(), None, "one second before {secs}");
        host.advance(1);
        assert_eq!(host.core.next_wakeup(host.mono), None);
    }
    let request = host.post().unwrap();
    host.answer(&request, accepted(&request));
    drifts(&mut host, "nothing runs".to_owned());
    assert_eq!(host.post(), None);
}

/// After an answer the next silence is short again.
#[test]
fn an_answer_ends_the_back_off() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    for _ in 0..2 {
        drifts(&mut host, "x".to_owned());
        let request = host.post().unwrap();
        host.answer(&request, PostOutcome::Unavailable);
        assert_eq!(host.core.next_wakeup(host.mono), Some(host.mono.plus_secs(1)));
        host.advance(1);
        host.post_all();
    }
}

/// D4: journals take turns, and an acknowledgement goes before everything else.
#[test]
fn d4_journals_take_turns_and_acknowledgements_go_first() {
    let (r1, r2) = (release("r1", 1, "a"), release("r2", 2, "b"));
    let mut host = at_rest(&r1);
    for outcome in [ProbeOutcome::Fail, ProbeOutcome::Pass, ProbeOutcome::Fail] {
        host.probe(&r1, "http", outcome);
    }
    host.offer(&r2, 1);
    let request = host.post().unwrap();
    assert_eq!(request.rollout_id, r2.id(), "the acknowledgement");
    host.answer(&request, accepted(&request));
    host.activated(&r2);
    let mut order = Vec::new();
    for _ in 0..5 {
        let request = host.post().unwrap();
        let first = request.events[0].seq;
        order.push(request.rollout_id.reference.to_string());
        host.answer(&request, refused(first, first));
    }
    assert_eq!(order, ["r1", "r2", "r1", "r2", "r1"]);
}

#[test]
fn a_request_carries_only_so_many_events() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    for _ in 0..=MAX_EVENTS_PER_REQUEST {
        drifts(&mut host, "x".to_owned());
    }
    for expected in [MAX_EVENTS_PER_REQUEST, 1] {
        let request = host.post().unwrap();
        assert_eq!(request.events.len(), expected);
        host.answer(&request, accepted(&request));
    }
    assert_eq!(host.post(), None);
}

/// A replay of more than one request goes on where the last one ended.
#[test]
fn g5_a_long_replay_goes_on_where_it_was() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    for _ in 0..MAX_EVENTS_PER_REQUEST {
        drifts(&mut host, "x".to_owned());
    }
    host.post_all();
    let last = host.kinds(&r1).len() as u64;
    asks_replay(&mut host, &r1, 1);
    let mut next = 1;
    while let Some(request) = host.post() {
        assert!(request.replay);
        assert_eq!(request.events[0].seq.0, next);
        next = request.events.last().unwrap().seq.0 + 1;
        host.answer(&request, accepted(&request));
    }
    assert_eq!(next, last + 1);
    host.advance(60);
    asks_replay(&mut host, &r1, last);
    assert_eq!(host.post().unwrap().events.len(), 1, "from the last one on");
}

/// What a request may carry beside its envelope, to the byte.
#[test]
fn a_request_fits_the_limit_and_one_event_always_goes() {
    let r1 = release("r1", 1, "a");
    let bytes = |entry: &JournalEntry| serde_json::to_vec(entry).unwrap().len();
    let room = MAX_EVENTS_BYTES - 4096;
    for (more, expected) in [(0, 2), (1, 1)] {
        let mut host = at_rest(&r1);
        drifts(&mut host, "x".to_owned());
        let small = host.post().unwrap();
        host.answer(&small, PostOutcome::Unavailable);
        let one = bytes(&small.events[0]);
        drifts(&mut host, "x".repeat(room - 2 * one + 1 + more));
        host.advance(1);
        let request = host.post().unwrap();
        assert_eq!(request.events.len(), expected, "{more} bytes too many");
        assert!(serde_json::to_vec(&request).unwrap().len() <= MAX_EVENTS_BYTES);
    }
    let mut host = at_rest(&r1);
    drifts(&mut host, "x".repeat(MAX_EVENTS_BYTES));
    drifts(&mut host, "x".to_owned());
    assert_eq!(host.post().unwrap().events.len(), 1, "too long, but it cannot be split");
}

/// G3: what was refused stays refused, also after later events were accepted.
#[test]
fn g3_a_refused_event_is_not_accepted_by_a_later_answer() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    drifts(&mut host, "x".to_owned());
    let first = host.refuse_next().events[0].seq;
    drifts(&mut host, "y".to_owned());
    host.post_all();
    for _ in 0..2 {
        asks_replay(&mut host, &r1, first.0);
        assert_eq!(host.post().unwrap().events[0].event, Event::Refused);
        host.restart();
    }
}

/// A gap in the middle of a replay ends it: only a heartbeat's answer may ask for another.
#[test]
fn g5_a_gap_ends_a_replay() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    asks_replay(&mut host, &r1, 2);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::Gap { expected: Seq(1) });
    assert!(host.take_told().contains(&AgentEffect::HeartbeatNow));
    host.advance(600);
    assert_eq!(host.post(), None);
}

#[test]
fn an_offer_that_is_not_taken_waits() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    drifts(&mut host, "x".to_owned());
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::UnknownRollout);
    host.advance(30);
    host.input(AgentInput::RolloutOffered { rollout_id: r1.id(), taken: OfferOutcome::NotTaken });
    assert_eq!(host.core.next_wakeup(host.mono), Some(host.mono.plus_secs(60)));
    host.advance(59);
    assert_eq!(host.post(), None);
    host.advance(1);
    assert!(host.post().is_some());
    let r2 = release("r2", 2, "b");
    let mut nothing = Host::new();
    nothing.input(AgentInput::RolloutOffered { rollout_id: r2.id(), taken: OfferOutcome::Taken });
    assert_eq!(nothing.take_told(), [], "of a rollout that is not held");
}

/// A pruned rollout is let go of at rest, and otherwise kept, in silence.
#[test]
fn a_pruned_rollout_is_kept_while_it_is_going_on() {
    type Story = fn(&mut Host, &Release);
    let stories: [(&str, Story, bool); 4] = [
        ("probed", |_, _| {}, true),
        ("activating", |host, r1| host.offer(r1, 2), true),
        (
            "rolling back",
            |host, r1| {
                host.offer(r1, 2);
                host.post_all();
                host.activated(r1);
                host.probe(r1, "http", ProbeOutcome::Fail);
                host.advance(THRESHOLD_SECS);
            },
            true,
        ),
        (
            "something else runs",
            |host, _| {
                host.current = Some(closure("by hand"));
                host.restart();
            },
            false,
        ),
    ];
    for (case, story, kept) in stories {
        let r1 = release("r1", 1, "a");
        let mut host = at_rest(&r1);
        drifts(&mut host, "x".to_owned());
        host.post_all();
        drifts(&mut host, "y".to_owned());
        story(&mut host, &r1);
        let request = host.post().unwrap();
        host.answer(&request, PostOutcome::Pruned);
        assert_eq!(!host.kinds(&r1).is_empty(), kept, "{case}");
        if kept {
            drifts(&mut host, "z".to_owned());
            host.advance(LEASE_SECS);
            assert_eq!(host.post(), None, "{case}: nothing is sent any more");
            assert_eq!(host.core.next_wakeup(host.mono), None, "{case}");
        }
    }
}

/// A host whose acknowledgement came too late waits for nobody.
#[test]
fn g4_an_acknowledgement_keeps_other_dispatches_away_until_its_lease_ends() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.advance(LEASE_SECS - 1);
    assert!(!host.core.wants_dispatch(host.mono));
    host.advance(1);
    assert!(host.core.wants_dispatch(host.mono));
    let request = host.post().unwrap();
    host.answer(&request, accepted(&request));
    assert_eq!(host.state(&r1), HostState::Reverted);
}

/// A new journal numbers what was not answered anew, and the permission that is awaited with it.
#[test]
fn g4_an_acknowledgement_that_moves_into_a_new_journal_still_permits() {
    let r1 = release("r1", 1, "a");
    let mut host = at_rest(&r1);
    host.offer(&r1, 2);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::JournalReplaced);
    assert_eq!(host.kinds(&r1), ["journal_opened", "dispatch_ack"]);
    let Event::JournalOpened { snapshot } = &host.disk.journals[0].entries[0].entry.event else {
        panic!("it begins with the record")
    };
    assert_eq!(snapshot.state, HostState::Converged, "without what nobody has permitted");
    host.advance(60);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::JournalReplaced);
    assert_eq!(host.kinds(&r1), ["journal_opened", "dispatch_ack"], "the same once more");
    host.take_told();
    host.advance(60);
    host.offer(&r1, 3);
    host.post_all();
    assert_eq!(host.state(&r1), HostState::Reverted, "its lease ended meanwhile");
    let mut in_time = at_rest(&r1);
    in_time.offer(&r1, 2);
    let request = in_time.post().unwrap();
    in_time.answer(&request, PostOutcome::JournalReplaced);
    in_time.advance(60);
    in_time.post_all();
    let starts = in_time.take_told();
    assert!(starts.iter().any(|effect| matches!(effect, AgentEffect::Activate { .. })));
}

/// The record that a new journal begins with has everything that was permitted.
#[test]
fn a_new_journal_begins_with_what_has_begun() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    let request = host.post().unwrap();
    host.answer(&request, accepted(&request));
    let request = host.post().unwrap();
    assert_eq!(request.events[0].event.kind(), "activation_started");
    host.answer(&request, PostOutcome::JournalReplaced);
    let Event::JournalOpened { snapshot } = &host.disk.journals[0].entries[0].entry.event else {
        panic!("it begins with the record")
    };
    assert!(snapshot.activation_started_at.is_some());
    assert_eq!(host.kinds(&r1), ["journal_opened", "activation_started"]);
}

/// A refused attempt takes nothing away from the one before: the way back is still the host's own.
#[test]
fn g1_a_refused_attempt_leaves_the_way_back_of_the_one_before() {
    use wavegate_state_machine::agent::ActivationOutcome;
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    host.post_all();
    let outcome = ActivationOutcome::Deferred { component: "kernel".to_owned() };
    host.input(AgentInput::ActivationEnded { rollout_id: r1.id(), outcome });
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::JournalReplaced);
    host.advance(60);
    host.post_all();
    host.offer(&r1, 2);
    host.refuse_next();
    assert_eq!(host.state(&r1), HostState::Deferred);
    let outcome = ActivationOutcome::Complete { exit_code: 1, changed: true, probes: vec![] };
    host.input(AgentInput::ActivationEnded { rollout_id: r1.id(), outcome });
    let told = host.take_told();
    assert!(told.iter().any(|effect| matches!(effect, AgentEffect::Rollback { to: None, .. })));
}

#[test]
fn what_a_problem_says_about_a_journal() {
    let told = |code: ProblemCode| {
        let mut problem = Problem::new(code, "detail");
        problem.seq = Some(Seq(4));
        problem.last_seq = Some(Seq(5));
        problem.expected_seq = Some(Seq(6));
        problem
    };
    let refused = |reason: &str| {
        let reason = reason.to_owned();
        Some(PostOutcome::Refused { seq: Seq(4), reason, last_seq: Seq(5) })
    };
    for (code, expected) in [
        (ProblemCode::EventRefused, refused("detail")),
        (ProblemCode::SeqGap, Some(PostOutcome::Gap { expected: Seq(6) })),
        (ProblemCode::JournalReplaced, Some(PostOutcome::JournalReplaced)),
        (ProblemCode::JournalDiverged, Some(PostOutcome::JournalDiverged)),
        (ProblemCode::UnknownRollout, Some(PostOutcome::UnknownRollout)),
        (ProblemCode::RolloutPruned, Some(PostOutcome::Pruned)),
        (ProblemCode::Overloaded, None),
    ] {
        assert_eq!(PostOutcome::of_problem(&told(code)), expected, "{code:?}");
    }
    let mut with_reason = told(ProblemCode::EventRefused);
    with_reason.reason = Some("no-lease".to_owned());
    assert_eq!(PostOutcome::of_problem(&with_reason), refused("no-lease"));
    type Edit = fn(&mut Problem);
    let lacks: [(ProblemCode, Edit); 3] = [
        (ProblemCode::EventRefused, |problem| problem.seq = None),
        (ProblemCode::EventRefused, |problem| problem.last_seq = None),
        (ProblemCode::SeqGap, |problem| problem.expected_seq = None),
    ];
    for (code, edit) in lacks {
        let mut problem = told(code);
        edit(&mut problem);
        assert_eq!(PostOutcome::of_problem(&problem), None, "{code:?} without its numbers");
    }
}
