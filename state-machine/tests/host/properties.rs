//! Random events: the fold is deterministic, refusals leave no mark, verdicts have their evidence, and a
//! replay gives the record that the live fold gave.

use proptest::prelude::*;
use wavegate_proto::event::{Event, FailureClass, JournalEntry, ProbeOutcome};
use wavegate_proto::ids::{JournalId, Seq};
use wavegate_proto::record::{HostRecord, HostState, ProbeStatus};
use wavegate_state_machine::host::{Admission, JournalBook, Origin, fold, refused_form};

use crate::fixtures::{
    SOAK_SECS, THRESHOLD_SECS, activation_failed, at, converged, ctx, every_event, failed, leased,
    pending, result,
};

/// Picks: which event, which twist of it, whether a dispatch is open.
type Pick = (usize, u8, bool);

fn picks() -> impl Strategy<Value = Vec<Pick>> {
    prop::collection::vec((0..20_usize, any::<u8>(), prop::bool::weighted(0.8)), 1..60)
}

fn event_for(record: &HostRecord, (which, twist, _): Pick) -> Event {
    let outcome = if twist % 2 == 0 { ProbeOutcome::Pass } else { ProbeOutcome::Fail };
    match every_event(record).swap_remove(which) {
        Event::ProbeResult { .. } if twist % 3 == 0 => result("disk", outcome),
        Event::ProbeResult { .. } => result("http", outcome),
        Event::Converged { .. } => converged(SOAK_SECS - 1 + u64::from(twist % 2)),
        Event::Failed { .. } => failed(THRESHOLD_SECS - 1 + u64::from(twist % 2)),
        Event::ActivationFailed { .. } => activation_failed(FailureClass::Network, twist % 2 == 0),
        // A journal opened in its middle has a test of its own.
        Event::JournalOpened { .. } => Event::Recovered {},
        event => event,
    }
}

/// What the journal of a live run holds: each event with whether it was accepted.
fn run(picks: &[Pick]) -> (HostRecord, Vec<(JournalEntry, bool)>) {
    let mut record = pending();
    let mut journal = Vec::new();
    for (n, pick) in picks.iter().enumerate() {
        let event = event_for(&record, *pick);
        let mut live = leased(record.attempt.0 + 1, pick.1 % 2 == 0);
        if !pick.2 {
            live.lease = wavegate_state_machine::host::Lease::None;
        }
        let seq = Seq(n as u64 + 1);
        let entry = JournalEntry { seq, at: at(seq.0), event };
        let before = record.clone();
        let accepted = fold(&mut record, &live, entry.at, &entry.event).is_ok();
        assert!(accepted || record == before, "a refused event left its mark");
        check_evidence(&before, &record);
        journal.push((entry, accepted));
    }
    (record, journal)
}

fn check_evidence(before: &HostRecord, record: &HostRecord) {
    assert!(record.attempt >= before.attempt);
    let converged_now = record.state == HostState::Converged && before.state == HostState::Soaking;
    if converged_now {
        assert!(record.topology_known);
        assert_eq!(record.current_closure.as_ref(), Some(&record.target_closure));
        let enforced = || record.probes.iter().filter(|p| p.is_enforced());
        assert!(enforced().all(|p| p.status == ProbeStatus::Pass));
    }
    if record.state == HostState::Reverted {
        assert_eq!(record.current_closure, record.prior_closure);
    }
}

proptest! {
    #[test]
    fn the_fold_is_deterministic(picks in picks()) {
        prop_assert_eq!(run(&picks), run(&picks));
    }

    /// 20-engine, Recovery: a wiped database gets the same record back from the journal.
    #[test]
    fn a_replay_gives_the_same_record(picks in picks()) {
        let (record, journal) = run(&picks);
        let mut again = pending();
        for (entry, accepted) in journal {
            let entry = if accepted { entry } else { refused_form(&entry) };
            let replayed = fold(&mut again, &ctx(Origin::Replay), entry.at, &entry.event);
            prop_assert_eq!(replayed, Ok(()));
        }
        prop_assert_eq!(again, record);
    }

    /// Seqs never go back, whatever is sent.
    #[test]
    fn seqs_never_regress(sent in prop::collection::vec((0..3_u8, 0..12_u64, any::<bool>()), 1..80)) {
        let mut book = JournalBook::default();
        for (journal, seq, accept) in sent {
            let id: JournalId =
                format!("00000000-0000-4000-8000-00000000000{journal}").parse().unwrap();
            let entry = JournalEntry { seq: Seq(seq), at: at(seq), event: Event::Recovered {} };
            let (before, last) = (book.journal_id(), book.last_seq());
            match book.admit(id, &entry) {
                Admission::Fold | Admission::NewJournal if accept => book.accepted(id, &entry),
                Admission::Fold | Admission::NewJournal => book.refused(id, &entry, "no"),
                Admission::Known
                | Admission::KnownRefused { .. }
                | Admission::Gap { .. }
                | Admission::Replaced
                | Admission::Diverged => {}
            }
            if book.journal_id() == before {
                prop_assert!(book.last_seq() == last || book.last_seq() == last.next());
            } else {
                prop_assert_eq!(book.last_seq(), Seq(1));
            }
        }
    }
}
