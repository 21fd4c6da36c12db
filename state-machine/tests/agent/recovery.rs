//! Replay, new journals, and a control plane that is broken or hostile.
//!
//! Not here: a host that lost its disk (see `bootstrap`), what is sent when (see `outbox`).

use wavegate_proto::event::{Event, MAX_LIST_ITEMS, ProbeOutcome};
use wavegate_proto::ids::{LogSeq, Seq, Sha256Hash};
use wavegate_proto::record::{HostRecord, HostState};
use wavegate_proto::wire::agent::{Checkpoint, EventsRequest, MAX_MARKS_BYTES, Marks, ResourceRef};
use wavegate_state_machine::agent::{AgentEffect, AgentInput, OfferOutcome, PostOutcome};
use wavegate_state_machine::host::JournalBook;

use crate::host::{Host, epoch};
use crate::plans::{Release, release};

fn seqs(request: &EventsRequest) -> Vec<u64> {
    request.events.iter().map(|entry| entry.seq.0).collect()
}

fn asks_replay(host: &mut Host, release: &Release, from: u64) {
    let id = release.id();
    host.heartbeat_answered(|answer| {
        answer.replay.insert(id, Seq(from));
    });
}

#[test]
fn a_new_epoch_makes_the_host_speak_at_once() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.heartbeat_answered(|_| {});
    host.converges(&r1, 1);
    host.heartbeat_answered(|_| {});
    assert_eq!(host.take_told(), []);
    host.heartbeat_answered(|answer| answer.cp_epoch = epoch(2));
    assert_eq!(host.take_told(), [AgentEffect::HeartbeatNow]);
    assert_eq!(host.heartbeat().cp_epoch, Some(epoch(2)));
    host.restart();
    assert_eq!(host.heartbeat().cp_epoch, Some(epoch(2)));
    assert!(host.heartbeat().rollouts.contains_key(&r1.id()));
}

#[test]
fn g11_a_checkpoint_is_kept_as_it_came_and_repeated_across_a_restart() {
    let mut host = Host::new();
    assert_eq!(host.heartbeat().checkpoint, None);
    let hash = Sha256Hash::of(b"anything");
    let shown = Some(Checkpoint { seq: LogSeq(7), chain: hash, mac: hash });
    host.heartbeat_answered(|answer| answer.checkpoint = shown);
    host.heartbeat_answered(|_| {});
    assert_eq!(host.heartbeat().checkpoint, shown);
    host.restart();
    assert_eq!(host.heartbeat().checkpoint, shown);
}

/// G11, G2: the operators' marks are sealed for the control plane: kept as they came, with what this agent does
/// not know, shown in every heartbeat, and bounded.
#[test]
fn g11_marks_are_kept_as_they_came_and_shown_across_a_restart() {
    let share = |version: u64, hold: &str| -> Marks {
        let share = serde_json::json!({
            "version": version, "rollouts": {}, "hold": { "reason": hold }, "later": [1], "mac": "ab",
        });
        serde_json::from_value(share).unwrap()
    };
    let mut host = Host::new();
    assert_eq!((host.heartbeat().marks_version, host.heartbeat().marks), (0, None));
    host.heartbeat_answered(|answer| answer.marks = Some(share(7, "disk")));
    let kept = Some(Box::new(share(7, "disk")));
    assert_eq!((host.heartbeat().marks_version, host.heartbeat().marks), (7, kept.clone()));
    host.heartbeat_answered(|answer| answer.marks = Some(share(6, "older")));
    host.heartbeat_answered(|answer| answer.marks = Some(share(7, "the same version")));
    host.heartbeat_answered(|answer| {
        answer.marks = Some(share(8, &"x".repeat(MAX_MARKS_BYTES)));
    });
    host.restart();
    assert_eq!(host.heartbeat().marks, kept);
}

/// G5: what was answered before is marked as a replay, what was not goes the ordinary way.
#[test]
fn g5_only_what_was_answered_is_replayed() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let (answered, last) = (host.kinds(&r1).len() as u64 - 1, host.kinds(&r1).len() as u64);
    asks_replay(&mut host, &r1, 1);
    let request = host.post().unwrap();
    assert!(request.replay);
    assert_eq!(seqs(&request), (1..=answered).collect::<Vec<_>>());
    host.answer(&request, PostOutcome::Accepted { last_seq: Seq(answered) });
    let request = host.post().unwrap();
    assert!(!request.replay);
    assert_eq!(seqs(&request), [last]);
}

#[test]
fn g5_an_unanswered_acknowledgement_is_never_replayed() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    asks_replay(&mut host, &r1, 1);
    assert!(!host.post().unwrap().replay);
}

#[test]
fn g29_a_refused_event_is_replayed_in_its_refused_form() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    let before = host.heartbeat().rollouts[&r1.id()].head;
    let refused = host.refuse_next();
    let head = host.heartbeat().rollouts[&r1.id()].head;
    assert_ne!(head, before);
    let mut book = JournalBook::default();
    book.refused(refused.journal_id, &refused.events[0], "no-lease");
    assert_eq!(book.head(), head, "both sides chain it alike");
    asks_replay(&mut host, &r1, 1);
    assert_eq!(host.post().unwrap().events[0].event, Event::Refused);
}

/// A refusal in a replay changes what is chained, not what has happened.
#[test]
fn a_refusal_in_a_replay_undoes_nothing() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    asks_replay(&mut host, &r1, 1);
    host.refuse_next();
    assert_eq!(host.state(&r1), HostState::Soaking);
    host.restart();
    assert_eq!(host.state(&r1), HostState::Soaking);
}

#[test]
fn g2_replay_and_new_journal_at_most_once_a_minute() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.converges(&r1, 1);
    let last = host.kinds(&r1).len() as u64;
    let replays = |host: &mut Host| {
        asks_replay(host, &r1, 1);
        let Some(request) = host.post() else { return false };
        host.answer(&request, PostOutcome::Accepted { last_seq: Seq(last) });
        request.replay
    };
    assert!(replays(&mut host));
    assert!(!replays(&mut host));
    host.advance(60);
    assert!(replays(&mut host));
    let ids = |host: &mut Host| host.heartbeat().rollouts[&r1.id()].journal_id;
    let mut seen = vec![ids(&mut host)];
    for (secs, opens) in [(0, true), (59, false), (1, true)] {
        host.post_all();
        host.advance(secs);
        let id = r1.id();
        host.heartbeat_answered(|answer| answer.new_journal = vec![id]);
        assert_eq!(!seen.contains(&ids(&mut host)), opens, "{secs} s later");
        seen.push(ids(&mut host));
    }
}

/// G2: a heartbeat is on its way when what it lacked is posted and answered. Its answer asks for that alone, and
/// leaves the replay of this minute to a database that is wiped right after.
#[test]
fn g2_what_was_answered_after_the_heartbeat_uses_up_no_replay() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let last = host.heartbeat().rollouts[&r1.id()].last_seq;
    host.post_all();
    let asks_for = |host: &mut Host, from: Seq| {
        let id = r1.id();
        host.last_heartbeat_answered(|answer| {
            answer.replay.insert(id, from);
        });
    };
    asks_for(&mut host, last);
    assert_eq!(host.post(), None, "it has been answered");
    host.heartbeat();
    asks_for(&mut host, Seq(1));
    let request = host.post().unwrap();
    assert!(request.replay);
    assert_eq!(seqs(&request), (1..=last.0).collect::<Vec<_>>());
}

/// G2: what other hosts have completed is passed on, within bounds.
#[test]
fn g2_resources_of_other_hosts_are_passed_on() {
    let mut host = Host::new();
    host.heartbeat_answered(|_| {});
    assert_eq!(host.take_told(), [], "none");
    let one: ResourceRef =
        serde_json::from_value(serde_json::json!({"host": "db-1", "resource": "ready"})).unwrap();
    for (named, passed_on) in [(1, 1), (MAX_LIST_ITEMS + 1, MAX_LIST_ITEMS)] {
        host.heartbeat_answered(|answer| answer.satisfied = vec![one.clone(); named]);
        assert_eq!(host.take_told(), [AgentEffect::Satisfied(vec![one.clone(); passed_on])]);
    }
}

#[test]
fn g2_the_heartbeat_interval_is_clamped() {
    let mut host = Host::new();
    for (told, kept) in [(0, 1), (5, 5), (600, 600), (u64::MAX, 600)] {
        host.heartbeat_answered(|answer| answer.next_heartbeat_secs = told);
        assert_eq!(host.core.next_heartbeat_secs(), kept);
    }
}

/// A gap that asks for what was answered: only a heartbeat's answer may ask for that.
#[test]
fn g5_a_gap_brings_a_heartbeat_and_no_unasked_replay() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let request = host.post().unwrap();
    host.take_told();
    host.answer(&request, PostOutcome::Gap { expected: Seq(1) });
    assert_eq!(host.take_told(), [AgentEffect::HeartbeatNow]);
    assert_eq!(host.post(), None);
    asks_replay(&mut host, &r1, 1);
    assert!(host.post().unwrap().replay);
}

#[test]
fn d4_a_refused_event_does_not_block_the_queue() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Fail);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let refused = host.refuse_next();
    assert_eq!(host.state(&r1), HostState::Soaking, "what happened here has happened");
    let next = host.post().unwrap();
    assert_eq!(next.events[0].seq, refused.events[0].seq.next());
}

#[test]
fn d4_a_stuck_rollout_does_not_hold_another_ones_events() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Fail);
    for outcome in [
        PostOutcome::Unavailable,
        PostOutcome::UnknownRollout,
        PostOutcome::Gap { expected: Seq(1) },
        PostOutcome::Accepted { last_seq: Seq(0) },
    ] {
        let request = host.post().unwrap();
        assert_eq!(request.rollout_id, r1.id());
        host.answer(&request, outcome);
        assert_eq!(host.post(), None);
        assert!(host.core.wants_dispatch(host.mono));
        let due = host.core.next_wakeup(host.mono).unwrap();
        assert!(due > host.mono);
        host.advance(due.secs_since(host.mono));
        while host.core.next_wakeup(host.mono).is_some_and(|at| at < host.mono.plus_secs(70)) {
            host.advance(1);
        }
    }
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::UnknownRollout);
    host.offer(&r2, 1);
    assert_eq!(host.post().unwrap().rollout_id, r2.id());
}

#[test]
fn a_lost_header_is_offered_and_a_pruned_rollout_is_let_go() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&r1, 1);
    asks_replay(&mut host, &r1, 1);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::UnknownRollout);
    let proof = r1.offered().proof;
    assert_eq!(host.take_told(), [AgentEffect::OfferRollout { rollout_id: r1.id(), proof }]);
    assert_eq!(host.post(), None);
    let taken = OfferOutcome::Taken;
    host.input(AgentInput::RolloutOffered { rollout_id: r1.id(), taken });
    assert!(host.post().unwrap().replay);
    host.restart();
    host.converges(&r2, 1);
    asks_replay(&mut host, &r1, 1);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::Pruned);
    assert_eq!(host.kinds(&r1), [""; 0]);
    assert_eq!(host.state(&r2), HostState::Converged);
}

/// A new journal begins with what the control plane has answered; the rest follows, and nothing is lost.
#[test]
fn a_new_journal_begins_with_the_record_and_keeps_what_was_not_answered() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let record = host.record(&r1).clone();
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::JournalReplaced);
    assert_eq!(host.kinds(&r1), ["journal_opened", "probe_result"]);
    let same = |host: &Host| {
        let now = host.record(&r1);
        let (journal_id, last_seq) = (now.journal_id, now.last_seq);
        *now == HostRecord { journal_id, last_seq, ..record.clone() }
    };
    assert!(same(&host));
    host.restart();
    assert!(same(&host));
    assert_ne!(host.record(&r1).journal_id, record.journal_id);
}

/// A journal tells the record, also when what was not answered turns out to be known: after a wiped
/// database it gives the same record again (D7).
#[test]
fn d7_a_new_journal_tells_the_record_though_what_follows_is_refused_as_known() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "bad"));
    host.soaks(&r1, 1);
    host.probe(&r1, "http", ProbeOutcome::Fail);
    host.advance(crate::plans::THRESHOLD_SECS);
    host.post_all();
    host.rolled_back(&r1, None);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::JournalReplaced);
    assert_eq!(host.kinds(&r1), ["journal_opened", "rollback_complete"]);
    let request = host.post().unwrap();
    let known =
        PostOutcome::Refused { seq: Seq(2), reason: "unexpected".to_owned(), last_seq: Seq(2) };
    host.answer(&request, known);
    asks_replay(&mut host, &r1, 1);
    let replay = host.post().unwrap();
    let Event::JournalOpened { snapshot } = &replay.events[0].event else { panic!("{replay:?}") };
    assert_eq!(snapshot.state, HostState::Reverted);
    assert_eq!(replay.events[1].event, Event::Refused);
}

/// A wiped database answers what was under way with a gap, and the heartbeat with a replay: in either
/// order the replay goes out at once.
#[test]
fn d7_a_gap_that_is_answered_after_the_replay_was_granted_does_not_hold_it_up() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    host.post_all();
    host.probe(&r1, "http", ProbeOutcome::Pass);
    let under_way = host.post().unwrap();
    asks_replay(&mut host, &r1, 1);
    host.answer(&under_way, PostOutcome::Gap { expected: Seq(1) });
    let request = host.post().expect("it does not wait for a minute");
    assert!(request.replay);
    assert_eq!(request.events[0].seq, Seq(1));
}

/// A heartbeat that events overtook looks as if the agent had less than the control plane.
#[test]
fn a_new_journal_is_not_begun_while_events_are_unanswered() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.offer(&r1, 1);
    let journal_id = host.record(&r1).journal_id;
    let under_way = host.post().unwrap();
    let id = r1.id();
    host.heartbeat_answered(|answer| answer.new_journal = vec![id]);
    host.answer(&under_way, PostOutcome::Accepted { last_seq: Seq(1) });
    assert_eq!(host.record(&r1).journal_id, journal_id);
    assert_eq!(host.state(&r1), HostState::Activating, "its permission stands");
    let id = r1.id();
    host.post_all();
    host.heartbeat_answered(|answer| answer.new_journal = vec![id]);
    assert_ne!(host.record(&r1).journal_id, journal_id, "asked again, it is done");
}

#[test]
fn journals_are_kept_until_the_rollout_after_next() {
    let mut host = Host::new();
    let releases: Vec<Release> = [("r1", "a"), ("r2", "b"), ("r3", "c"), ("r4", "d")]
        .into_iter()
        .zip(1..)
        .map(|((reference, closure), serial)| release(reference, serial, closure))
        .collect();
    for release in &releases {
        host.converges(release, 1);
    }
    let held: Vec<_> = host.heartbeat().rollouts.into_keys().collect();
    assert_eq!(held, releases[1..].iter().map(Release::id).collect::<Vec<_>>());
}

/// G12: with a rejection the host keeps the signed entry that proves it.
#[test]
fn g12_the_evidence_of_a_rejection_is_kept() {
    let (mut host, bad) = (Host::new(), release("r1", 1, "bad"));
    host.soaks(&bad, 1);
    host.probe(&bad, "http", ProbeOutcome::Fail);
    host.advance(crate::plans::THRESHOLD_SECS);
    host.rolled_back(&bad, None);
    host.post_all();
    for (reference, serial, closure) in
        [("r2", 2, "a"), ("r3", 3, "b"), ("r4", 4, "c"), ("r5", 5, "d")]
    {
        host.converges(&release(reference, serial, closure), 1);
    }
    assert!(host.heartbeat().rollouts.contains_key(&bad.id()));
    assert!(!host.heartbeat().rollouts.contains_key(&release("r2", 2, "a").id()));
}

#[test]
fn the_head_named_is_the_chain_over_the_journal() {
    let (mut host, r1) = (Host::new(), release("r1", 1, "a"));
    host.soaks(&r1, 1);
    let named = host.heartbeat().rollouts[&r1.id()];
    let mut head = Sha256Hash::default();
    for stored in &host.disk.journals[0].entries {
        head = wavegate_proto::canonical::chain_journal(&head, &stored.entry);
    }
    assert_eq!((named.head, named.first_seq, named.last_seq.0), (head, Seq(1), 4));
    host.restart();
    assert_eq!(host.heartbeat().rollouts[&r1.id()], named);
}

/// The heartbeat's answer asks for a replay that the host does not hold, or of nothing it holds.
#[test]
fn what_is_asked_of_a_rollout_that_is_not_held_is_ignored() {
    let (mut host, r1, r2) = (Host::new(), release("r1", 1, "a"), release("r2", 2, "b"));
    host.converges(&r1, 1);
    asks_replay(&mut host, &r2, 1);
    let id = r2.id();
    host.heartbeat_answered(|answer| answer.new_journal = vec![id]);
    assert_eq!(host.take_told(), []);
    assert_eq!(host.post(), None);
    let beyond = host.kinds(&r1).len() as u64 + 1;
    asks_replay(&mut host, &r1, beyond);
    assert_eq!(host.post(), None, "nothing beyond the last one");
    asks_replay(&mut host, &r1, beyond - 1);
    assert_eq!(seqs(&host.post().unwrap()), [beyond - 1]);
}
