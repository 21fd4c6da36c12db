//! Which entry comes next: sequence numbers, repeats, gaps, refusals, new journals.

use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{JournalId, Seq, Sha256Hash};
use wavegate_proto::wire::agent::JournalHead;
use wavegate_state_machine::host::{
    Admission, HeadVerdict, JournalBook, MAX_CLOSED_JOURNALS, refused_form,
};

use crate::fixtures::{ack, at, complete};

fn id(n: u8) -> JournalId {
    format!("00000000-0000-4000-8000-0000000000{n:02x}").parse().unwrap()
}

fn entry(seq: u64, event: Event) -> JournalEntry {
    JournalEntry { seq: Seq(seq), at: at(seq), event }
}

fn book(entries: u64) -> JournalBook {
    let mut book = JournalBook::default();
    for seq in 1..=entries {
        book.accepted(id(1), &entry(seq, complete()));
    }
    book
}

#[test]
fn seqs_begin_at_1_and_have_no_gaps() {
    let fresh = JournalBook::default();
    assert_eq!(fresh.admit(id(1), &entry(1, ack(1))), Admission::NewJournal);
    assert_eq!(fresh.admit(id(1), &entry(2, ack(1))), Admission::Gap { expected: Seq(1) });
    let book = book(3);
    assert_eq!(book.admit(id(1), &entry(3, complete())), Admission::Known);
    assert_eq!(book.admit(id(1), &entry(4, complete())), Admission::Fold);
    assert_eq!(book.admit(id(1), &entry(6, complete())), Admission::Gap { expected: Seq(4) });
    assert_eq!(book.admit(id(1), &entry(2, ack(1))), Admission::Diverged);
}

#[test]
fn g3_a_refused_event_is_refused_again() {
    let mut book = book(1);
    book.refused(id(1), &entry(2, ack(1)), "no-lease");
    let again = book.admit(id(1), &entry(2, ack(1)));
    assert_eq!(again, Admission::KnownRefused { reason: "no-lease".to_owned() });
    assert_eq!(book.admit(id(1), &entry(2, Event::Refused)), Admission::Known);
    assert_eq!(book.admit(id(1), &entry(3, complete())), Admission::Fold);
    let stored = serde_json::to_string(&book).unwrap();
    assert_eq!(serde_json::from_str::<JournalBook>(&stored).unwrap(), book.to_store());
}

/// Only so many refusals are remembered: of older ones the head tells.
#[test]
fn g2_only_so_many_refusals_are_remembered() {
    let mut book = book(1);
    for seq in 2..=1025 {
        book.refused(id(1), &entry(seq, ack(1)), "no-lease");
    }
    let again = |book: &JournalBook, seq| book.admit(id(1), &entry(seq, ack(1)));
    let refused = Admission::KnownRefused { reason: "no-lease".to_owned() };
    assert_eq!(again(&book, 2), refused, "1024 of them");
    book.refused(id(1), &entry(1026, ack(1)), "no-lease");
    assert_eq!(again(&book, 2), Admission::Known);
    assert_eq!(again(&book, 3), refused);
}

/// The log keeps of a refused entry its refused form and the other head: the book is the same.
#[test]
fn g29_a_refusal_noted_again_from_the_log_gives_the_same_book() {
    let mut first = book(2);
    assert_eq!(first.head_if_accepted(), None);
    let event = entry(3, ack(1));
    let mut unaware = first.clone();
    unaware.accepted(id(1), &event);
    first.refused(id(1), &event, "no-lease");
    assert_eq!(first.head_if_accepted(), Some(unaware.head()));
    let mut again = book(2);
    let other_head = first.head_if_accepted();
    again.refused_before(id(1), &refused_form(&event), "no-lease", other_head);
    assert_eq!(again.to_store(), first.to_store());
    assert_eq!((again.last_seq(), again.head()), (Seq(3), first.head()));
    assert_eq!(again.head_if_accepted(), other_head);
    assert_eq!(again.admit(id(1), &entry(2, ack(1))), Admission::Known, "digests are gone");
    first.accepted(id(1), &entry(4, complete()));
    assert_eq!(first.head_if_accepted(), None, "the last one was accepted");
}

#[test]
fn what_is_stored_does_not_grow_with_the_journal_and_goes_on_after_a_restart() {
    let stored = |book: &JournalBook| serde_json::to_string(&book.to_store()).unwrap();
    assert_eq!(stored(&book(200)).len(), stored(&book(100)).len());
    let mut restarted: JournalBook = serde_json::from_str(&stored(&book(3))).unwrap();
    assert_eq!(restarted, book(3).to_store());
    // Other content of an old seq is not seen here any more; the head tells.
    assert_eq!(restarted.admit(id(1), &entry(2, ack(1))), Admission::Known);
    restarted.accepted(id(1), &entry(4, complete()));
    assert_eq!(restarted.head(), book(4).head());
    assert_eq!(restarted.admit(id(1), &entry(4, ack(1))), Admission::Diverged);
    assert_eq!(restarted.admit(id(1), &entry(3, ack(1))), Admission::Known);
    let other = JournalHead {
        journal_id: id(1),
        first_seq: Seq(1),
        last_seq: Seq(4),
        head: Sha256Hash::of(b"x"),
    };
    assert_eq!(restarted.judge(&other), HeadVerdict::Diverged);
}

#[test]
fn only_the_recent_entries_are_compared() {
    let book = book(300);
    assert_eq!(book.admit(id(1), &entry(300, ack(1))), Admission::Diverged);
    assert_eq!(book.admit(id(1), &entry(45, ack(1))), Admission::Diverged);
    assert_eq!(book.admit(id(1), &entry(44, ack(1))), Admission::Known);
}

#[test]
fn a_new_journal_closes_the_old_one() {
    let mut book = book(3);
    assert_eq!(book.admit(id(2), &entry(1, complete())), Admission::NewJournal);
    book.accepted(id(2), &entry(1, complete()));
    assert_eq!(book.admit(id(1), &entry(4, complete())), Admission::Replaced);
    assert_eq!(book.admit(id(1), &entry(1, complete())), Admission::Replaced);
    assert_eq!((book.journal_id(), book.last_seq()), (Some(id(2)), Seq(1)));
    for n in 3..40 {
        book.accepted(id(n), &entry(1, complete()));
    }
    let old = JournalHead {
        journal_id: id(39 - 1),
        first_seq: Seq(1),
        last_seq: Seq(3),
        head: Sha256Hash::default(),
    };
    assert_eq!(book.judge(&old), HeadVerdict::Replaced);
    assert_eq!(JournalBook::default().head_if_accepted(), None);
    let replaced = (1..40).filter(|n| book.admit(id(*n), &entry(1, ack(1))) == Admission::Replaced);
    assert_eq!(replaced.count(), MAX_CLOSED_JOURNALS);
}

#[test]
fn g29_the_head_chains_refused_events_and_waits_for_the_agent_to_know() {
    let mut ours = book(1);
    let mut unaware = book(1);
    let event = entry(2, ack(1));
    ours.refused(id(1), &event, "no-lease");
    unaware.accepted(id(1), &event);
    let head = |head: Sha256Hash, last: u64| JournalHead {
        journal_id: id(1),
        first_seq: Seq(1),
        last_seq: Seq(last),
        head,
    };
    assert_eq!(ours.judge(&head(unaware.head(), 2)), HeadVerdict::Level);
    let mut aware = book(1);
    aware.accepted(id(1), &refused_form(&event));
    assert_eq!(aware.head(), ours.head());
    assert_eq!(ours.judge(&head(aware.head(), 2)), HeadVerdict::Level);
    assert_eq!(ours.judge(&head(Sha256Hash::of(b"x"), 2)), HeadVerdict::Diverged);
    assert_eq!(ours.judge(&head(Sha256Hash::of(b"x"), 3)), HeadVerdict::Behind { from: Seq(3) });
    assert_eq!(ours.judge(&head(aware.head(), 1)), HeadVerdict::Diverged);
    assert_eq!(JournalBook::default().judge(&head(aware.head(), 2)), HeadVerdict::NotSeen);
    ours.accepted(id(1), &entry(3, complete()));
    unaware.accepted(id(1), &entry(3, complete()));
    assert_eq!(ours.judge(&head(unaware.head(), 3)), HeadVerdict::Diverged);
}
