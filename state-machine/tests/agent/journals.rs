//! How long journals are kept, and when one begins anew by itself.
//!
//! Not here: new journals that the control plane asks for (see `recovery`).

use wavegate_proto::event::{Event, FailureClass, JournalEntry, ProbeOutcome};
use wavegate_proto::ids::Seq;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::agent::{Dispatch, MAX_REJECTED};
use wavegate_state_machine::agent::{
    ActivationOutcome, AgentEffect, AgentInput, Answer, PostOutcome, StoredEntry,
};

use crate::host::Host;
use crate::plans::{Release, SOAK_SECS, THRESHOLD_SECS, closure, probes, release};

const MAX_JOURNAL_ENTRIES: usize = 10_000;

/// `stable@rN` with the serial N.
fn numbered(number: u64, closure: &'static str) -> Release {
    release(format!("r{number}").leak(), number, closure)
}

fn holds(host: &mut Host, release: &Release) -> bool {
    host.heartbeat().rollouts.contains_key(&release.id())
}

fn drifts(host: &mut Host) {
    let event = Event::DriftCorrected { id: "conf".parse().unwrap(), result: "x".to_owned() };
    host.input(AgentInput::ResourceObserved { event });
}

/// A converged host whose journal has so many entries, all of them answered.
fn with_entries(r1: &Release, count: usize) -> Host {
    let mut host = Host::new();
    host.converges(r1, 1);
    drifts(&mut host);
    host.post_all();
    let entries = &mut host.disk.journals[0].entries;
    let last = entries.last().unwrap().clone();
    for seq in (last.entry.seq.0 + 1)..=(count as u64) {
        let entry = JournalEntry { seq: Seq(seq), ..last.entry.clone() };
        entries.push(StoredEntry { entry, answer: Answer::Accepted, ..last.clone() });
    }
    host.restart();
    host
}

fn asks_replay(host: &mut Host, release: &Release, from: usize) {
    let id = release.id();
    host.heartbeat_answered(|answer| {
        answer.replay.insert(id, Seq(from as u64));
    });
}

fn length(host: &Host) -> usize {
    host.disk.journals[0].entries.len()
}

#[test]
fn d3_a_long_journal_begins_anew_when_everything_was_answered_and_sent() {
    let r1 = release("r1", 1, "a");
    let mut host = with_entries(&r1, MAX_JOURNAL_ENTRIES);
    host.advance(1);
    assert_eq!(length(&host), MAX_JOURNAL_ENTRIES, "not yet above");
    drifts(&mut host);
    assert_eq!(length(&host), MAX_JOURNAL_ENTRIES + 1, "the last one has no answer");
    let request = host.post().unwrap();
    asks_replay(&mut host, &r1, MAX_JOURNAL_ENTRIES);
    host.answer(&request, PostOutcome::Accepted { last_seq: request.events[0].seq });
    assert_eq!(length(&host), MAX_JOURNAL_ENTRIES + 1, "a replay is asked for");
    let record = host.record(&r1).clone();
    host.post_all();
    assert_eq!(host.kinds(&r1), ["journal_opened"]);
    assert_ne!(host.record(&r1).journal_id, record.journal_id);
    assert_eq!((host.state(&r1), host.record(&r1).attempt), (record.state, record.attempt));
}

#[test]
fn a_long_journal_waits_until_the_host_is_at_rest() {
    let r1 = release("r1", 1, "a");
    let mut busy = with_entries(&r1, MAX_JOURNAL_ENTRIES - 1);
    busy.offer(&r1, 2);
    busy.post_all();
    assert_eq!((busy.state(&r1), length(&busy)), (HostState::Activating, MAX_JOURNAL_ENTRIES + 1));
    busy.activated(&r1);
    busy.post_all();
    assert_eq!(busy.state(&r1), HostState::Soaking);
    assert!(length(&busy) > MAX_JOURNAL_ENTRIES, "it soaks");
    busy.probe(&r1, "http", ProbeOutcome::Pass);
    busy.advance(SOAK_SECS);
    busy.post_all();
    assert_eq!((busy.state(&r1), length(&busy)), (HostState::Converged, 1));
}

/// A rollout in which the host only waits for a reboot is not let go of.
#[test]
fn a_rollout_that_is_going_on_or_unanswered_is_kept() {
    let mut host = Host::new();
    let deferred = numbered(1, "staged");
    host.offer(&deferred, 1);
    host.post_all();
    let outcome = ActivationOutcome::Deferred { component: "kernel".to_owned() };
    host.input(AgentInput::ActivationEnded { rollout_id: deferred.id(), outcome });
    host.post_all();
    let unanswered = numbered(2, "a");
    host.converges(&unanswered, 1);
    host.probe(&unanswered, "http", ProbeOutcome::Fail);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::Unavailable);
    for (number, name) in [(3, "b"), (4, "c"), (5, "d"), (6, "e")] {
        host.offer(&numbered(number, name), 1);
        let request = host.post().unwrap();
        let last_seq = request.events[0].seq;
        assert_eq!(request.rollout_id, numbered(number, name).id());
        host.answer(
            &request,
            PostOutcome::Refused { seq: last_seq, reason: "no".to_owned(), last_seq },
        );
    }
    assert!(holds(&mut host, &deferred), "it waits for its reboot");
    assert!(holds(&mut host, &unanswered), "something of it has no answer");
    assert!(!holds(&mut host, &numbered(3, "b")));
}

#[test]
fn what_is_probed_is_kept_however_old_it_is() {
    let (mut host, first) = (Host::new(), numbered(1, "a"));
    host.converges(&first, 1);
    for (number, name) in [(2, "b"), (3, "c"), (4, "d"), (5, "e")] {
        let next = numbered(number, name);
        host.offer(&next, 1);
        host.post_all();
        let outcome = ActivationOutcome::Failed {
            class: FailureClass::Host,
            reason: "disk full".to_owned(),
            exit_code: None,
            stderr_tail: None,
            changed: true,
        };
        host.input(AgentInput::ActivationEnded { rollout_id: next.id(), outcome });
        host.rolled_back(&next, Some(closure("a")));
        host.post_all();
    }
    assert!(holds(&mut host, &first), "it runs, and is probed");
    assert!(!holds(&mut host, &numbered(2, "b")));
    assert!(holds(&mut host, &numbered(3, "c")));
}

/// G2: however little is answered, what is held stays bounded.
#[test]
fn g2_no_more_than_64_rollouts_are_held() {
    let mut host = Host::new();
    for number in 1..=70 {
        let release = numbered(number, "a");
        let wrong_wave =
            Dispatch { wave: wavegate_proto::ids::WaveIndex(7), ..host.dispatch(&release, 1) };
        host.offer_with(wrong_wave, Ok(release.offered()));
        let request = host.post().unwrap();
        host.answer(&request, PostOutcome::Unavailable);
    }
    assert_eq!(host.heartbeat().rollouts.len(), 64);
    assert!(holds(&mut host, &numbered(70, "a")) && holds(&mut host, &numbered(7, "a")));
    assert!(!holds(&mut host, &numbered(6, "a")));
}

/// G2: the oldest rejection goes when there are too many.
#[test]
fn g2_only_so_many_rejections_are_remembered() {
    let mut host = Host::new();
    for number in 1..=(MAX_REJECTED as u64 + 1) {
        let closure: &str = format!("bad {number}").leak();
        let bad = Release { policy: "halt", ..numbered(number, closure) };
        host.soaks(&bad, 1);
        host.probe(&bad, "http", ProbeOutcome::Fail);
        host.advance(THRESHOLD_SECS);
        host.post_all();
    }
    assert_eq!(host.core.rejected().len(), MAX_REJECTED);
    assert_eq!(host.core.rejected()[0].closure, closure("bad 2"));
}

/// A journal that was begun anew is the latest on the disk; its rollout is as old as it was.
#[test]
fn a_new_journal_makes_no_older_rollout_the_newest() {
    let (mut host, r1, r2) = (Host::new(), numbered(1, "a"), numbered(2, "b"));
    host.converges(&r1, 1);
    host.converges(&r2, 1);
    asks_replay(&mut host, &r1, 1);
    let request = host.post().unwrap();
    host.answer(&request, PostOutcome::JournalDiverged);
    host.post_all();
    drifts(&mut host);
    host.post_all();
    assert_eq!((host.last_kind(&r1), host.last_kind(&r2)), ("journal_opened", "drift_corrected"));
    host.restart();
    drifts(&mut host);
    assert_eq!(host.last_kind(&r1), "journal_opened", "what the host does belongs to the newest");
}

/// What the host may not do any more when its plan no longer verifies: nothing; and nothing is deleted.
#[test]
fn a_journal_whose_plan_no_longer_verifies_is_left_alone() {
    let (mut host, r1) = (Host::new(), numbered(1, "a"));
    host.converges(&r1, 1);
    host.forget_plans();
    host.restart();
    assert_eq!(host.core.records().count(), 0);
    assert_eq!(host.take_told(), []);
    assert_eq!(host.last_kind(&r1), "converged");
}

#[test]
fn probes_of_a_closure_that_is_not_at_hand_stand_as_the_journal_has_them() {
    let (mut host, r1) = (Host::new(), numbered(1, "a"));
    host.soaks(&r1, 1);
    host.probes = Vec::new();
    host.restart();
    let told = host.take_told();
    let [AgentEffect::StartProbes { probes: asked, .. }] = &told[..] else { panic!("{told:?}") };
    let mut expected = probes();
    expected.sort_by(|a, b| a.declared.name.cmp(&b.declared.name));
    for probe in &mut expected {
        (probe.interval_secs, probe.timeout_secs) = (15, 5);
    }
    assert_eq!(*asked, expected);
    host.advance(30 + 15 + 5 - 1);
    assert_eq!(host.last_kind(&r1), "probe_topology");
    host.advance(1);
    assert_eq!(host.last_kind(&r1), "probe_result", "E20: they do not report");
}
