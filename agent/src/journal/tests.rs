//! The journal as a store: what was committed is read back, whatever happened in between.

use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{Attempt, BootId, JournalId, RolloutId, Seq, Serial};
use wavegate_proto::time::{Mono, Timestamp};
use wavegate_proto::wire::agent::Rejected;
use wavegate_state_machine::agent::{Activated, AgentEffect, Answer, Meta, Verdict, Written};

use super::{JOURNAL_FILE, Journal, JournalError};

fn rollout(name: &str) -> RolloutId {
    name.parse().unwrap()
}

fn journal_id(number: u128) -> JournalId {
    JournalId(uuid::Uuid::from_u128(number))
}

fn open(rollout_id: &str, id: u128) -> AgentEffect {
    AgentEffect::OpenJournal {
        rollout_id: rollout(rollout_id),
        journal_id: journal_id(id),
        proof: None,
    }
}

fn append(rollout_id: &str, id: u128, seq: u64) -> AgentEffect {
    let event = Event::DispatchAck { prior_closure: None, attempt: Attempt(1) };
    AgentEffect::Append {
        rollout_id: rollout(rollout_id),
        journal_id: journal_id(id),
        entry: JournalEntry { seq: Seq(seq), at: Timestamp::from_unix_millis(1000), event },
        written: Written { boot_id: BootId(uuid::Uuid::from_u128(9)), mono: Mono::from_millis(77) },
    }
}

fn closure(digit: &str) -> wavegate_proto::ids::ClosureId {
    format!("sha256:{}", digit.repeat(64)).parse().unwrap()
}

fn activated(digit: &str, verdict: Verdict) -> AgentEffect {
    AgentEffect::RememberActivated(Activated {
        closure: closure(digit),
        checks: None,
        rollout_id: rollout("stable@r1"),
        verdict,
    })
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = Rejected {
        channel: "stable".parse().unwrap(),
        closure: closure("b"),
        rollout_id: rollout("stable@r1"),
        attempt: Attempt(2),
    };
    let meta = Meta { serial: Serial(7), ..Meta::default() };
    let mut journal = Journal::open(dir.path()).unwrap();
    journal
        .commit(&[
            open("stable@r1", 1),
            append("stable@r1", 1, 1),
            append("stable@r1", 1, 2),
            append("stable@r1", 1, 3),
            AgentEffect::MarkAnswered {
                rollout_id: rollout("stable@r1"),
                journal_id: journal_id(1),
                to: Seq(2),
                refused: Some((Seq(2), Answer::Refused)),
            },
            AgentEffect::SaveMeta(meta.clone()),
            AgentEffect::Reject(rejected.clone()),
        ])
        .unwrap();
    drop(journal);
    let stored = Journal::open(dir.path()).unwrap().load().unwrap();
    let answers: Vec<Answer> = stored.journals[0].entries.iter().map(|e| e.answer).collect();
    assert_eq!(answers, [Answer::Accepted, Answer::Refused, Answer::Unanswered]);
    assert_eq!(stored.journals[0].entries[0].written.mono, Mono::from_millis(77));
    assert_eq!((stored.meta, stored.rejected), (meta, vec![rejected.clone()]));

    let mut journal = Journal::open(dir.path()).unwrap();
    journal.commit(&[AgentEffect::Unreject(rejected)]).unwrap();
    assert!(journal.load().unwrap().rejected.is_empty());
}

#[test]
fn of_each_rollout_the_journal_opened_last_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    let effects = [open("stable@r1", 1), open("stable@r2", 2), open("stable@r1", 3)];
    journal.commit(&effects).unwrap();
    let ids = |journal: &Journal| -> Vec<JournalId> {
        journal.load().unwrap().journals.iter().map(|j| j.journal_id).collect()
    };
    assert_eq!(ids(&journal), [journal_id(2), journal_id(3)]);
    journal.commit(&[AgentEffect::DropJournal { rollout_id: rollout("stable@r1") }]).unwrap();
    assert_eq!(ids(&journal), [journal_id(2)]);
}

#[test]
fn the_latest_activation_stands_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    journal.commit(&[activated("a", Verdict::Unproven)]).unwrap();
    journal.commit(&[activated("b", Verdict::Unproven)]).unwrap();
    journal.commit(&[activated("a", Verdict::Converged)]).unwrap();
    let stored = journal.load().unwrap().activated;
    let order: Vec<_> = stored.iter().map(|a| (a.closure.clone(), a.verdict)).collect();
    let expected = [(closure("b"), Verdict::Unproven), (closure("a"), Verdict::Converged)];
    assert_eq!(order, expected);
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    let twice = [open("stable@r1", 1), append("stable@r1", 1, 1), append("stable@r1", 1, 1)];
    journal.commit(&twice).unwrap_err();
    assert!(journal.load().unwrap().journals.is_empty());
}

#[test]
fn a_full_disk_is_an_error_and_what_was_committed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    journal.commit(&[open("stable@r1", 1)]).unwrap();
    journal.db.pragma_update(None, "max_page_count", 1).unwrap();
    let mut seq = 0;
    let error = loop {
        seq += 1;
        if let Err(error) = journal.commit(&[append("stable@r1", 1, seq)]) {
            break error;
        }
        assert!(seq < 10_000, "never full");
    };
    assert!(matches!(error, JournalError::DiskFull), "{error}");
    assert_eq!(journal.load().unwrap().journals[0].entries.len() as u64, seq - 1);
    journal.db.pragma_update(None, "max_page_count", 100_000).unwrap();
    journal.commit(&[append("stable@r1", 1, seq)]).unwrap();
}

#[test]
fn a_newer_journal_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    journal.db.execute(newer, []).unwrap();
    drop(journal);
    let path = dir.path().join(JOURNAL_FILE);
    let before = std::fs::read(&path).unwrap();
    for refused in [Journal::open(dir.path()), Journal::open_read_only(dir.path())] {
        let error = refused.unwrap_err();
        assert!(matches!(error, JournalError::NewerVersion { found: 99, .. }), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
