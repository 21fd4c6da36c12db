//! Which entry of which journal comes next: admission by sequence number, before the fold.
//!
//! A journal's seqs start at 1 and have no gaps. A refused event uses up its seq and is chained in its
//! `refused` form (G29). The book is persisted beside the record, without the digests of its recent
//! entries: they would be most of every row. After a restart a repeat with other content is found by the
//! next heartbeat's head instead.
//!
//! Not here: whether an admitted event is allowed (see [`super::fold()`]).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use wavegate_proto::canonical::{chain_journal, chain_journal_bytes, journal_bytes};
use wavegate_proto::event::{Event, JournalEntry};
use wavegate_proto::ids::{JournalId, Seq, Sha256Hash};
use wavegate_proto::wire::agent::JournalHead;

/// How many closed journals of a record are remembered.
pub const MAX_CLOSED_JOURNALS: usize = 8;

/// How many entries back a repeat is compared byte for byte.
const MAX_RECENT_DIGESTS: usize = 256;

/// How many refusals of one journal are remembered, newest first. An agent sends again only what was
/// not answered.
const MAX_REFUSED: usize = 1024;

/// What is known of the journals of one record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JournalBook {
    /// Behind a pointer: most records of a fleet have none yet.
    #[serde(default)]
    open: Option<Box<OpenJournal>>,
    #[serde(default)]
    closed: ClosedJournals,
}

/// The journal that is folded now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenJournal {
    journal_id: JournalId,
    last_seq: Seq,
    head: Sha256Hash,
    /// The head had the last entry been accepted: an agent that has not yet read the refusal has it.
    #[serde(default)]
    head_if_accepted: Option<Sha256Hash>,
    #[serde(default)]
    refused: BTreeMap<Seq, String>,
    /// Digests of the last entries, the newest last.
    #[serde(skip)]
    recent: VecDeque<Sha256Hash>,
}

/// Journals that another has taken the place of, oldest first; at most [`MAX_CLOSED_JOURNALS`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClosedJournals(VecDeque<JournalId>);

impl ClosedJournals {
    fn push(&mut self, id: JournalId) {
        if self.0.len() == MAX_CLOSED_JOURNALS {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}

/// What to do with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The next one: fold it.
    Fold,
    /// The first one of a journal not seen before: fold it; that closes the journal open so far.
    NewJournal,
    /// Folded before; nothing to do.
    Known,
    /// Refused before: refuse it again (G3).
    KnownRefused {
        /// Why it was refused.
        reason: String,
    },
    /// Entries are missing before it.
    Gap {
        /// The seq to send from.
        expected: Seq,
    },
    /// Another journal has taken this one's place.
    Replaced,
    /// Known with other content.
    Diverged,
}

/// What a head named in a heartbeat says about a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadVerdict {
    /// Both sides have the same.
    Level,
    /// The agent has entries that are not folded yet.
    Behind {
        /// The first one lacking.
        from: Seq,
    },
    /// The agent has less of this journal, or something else.
    Diverged,
    /// Nothing of this journal has been seen.
    NotSeen,
    /// Another journal has taken its place.
    Replaced,
}

impl JournalBook {
    /// The open journal.
    #[must_use]
    pub fn journal_id(&self) -> Option<JournalId> {
        self.open.as_ref().map(|open| open.journal_id)
    }

    /// The last entry folded or refused; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.open.as_ref().map_or(Seq(0), |open| open.last_seq)
    }

    /// The hash chained over the open journal.
    #[must_use]
    pub fn head(&self) -> Sha256Hash {
        self.open.as_ref().map_or_else(Sha256Hash::default, |open| open.head)
    }

    /// The book as it is persisted.
    #[must_use]
    pub fn to_store(&self) -> Self {
        let open = self.open.as_deref().map(|open| {
            Box::new(OpenJournal {
                refused: open.refused.clone(),
                recent: VecDeque::new(),
                ..*open
            })
        });
        Self { open, closed: self.closed.clone() }
    }

    /// What to do with `entry` of journal `id`. Changes nothing: follow it with [`Self::accepted`] or
    /// [`Self::refused`] when it was folded.
    #[must_use]
    pub fn admit(&self, id: JournalId, entry: &JournalEntry) -> Admission {
        let Some(open) = self.open.as_ref().filter(|open| open.journal_id == id) else {
            return match (self.closed.0.contains(&id), entry.seq) {
                (true, _) => Admission::Replaced,
                (false, Seq(1)) => Admission::NewJournal,
                (false, _) => Admission::Gap { expected: Seq(1) },
            };
        };
        if entry.seq > open.last_seq {
            let expected = open.last_seq.next();
            return if entry.seq == expected {
                Admission::Fold
            } else {
                Admission::Gap { expected }
            };
        }
        open.judge_known(entry)
    }

    /// Notes that `entry` of journal `id` was folded.
    pub fn accepted(&mut self, id: JournalId, entry: &JournalEntry) {
        let open = self.open_for(id);
        let bytes = journal_bytes(entry);
        open.head = chain_journal_bytes(&open.head, &bytes);
        open.head_if_accepted = None;
        open.note(entry.seq, &bytes);
    }

    /// Notes that `entry` of journal `id` was refused with `reason`.
    pub fn refused(&mut self, id: JournalId, entry: &JournalEntry, reason: &str) {
        let open = self.open_for(id);
        let bytes = journal_bytes(entry);
        let head_if_accepted = Some(chain_journal_bytes(&open.head, &bytes));
        open.refuse(&refused_form(entry), reason, head_if_accepted);
        open.note(entry.seq, &bytes);
    }

    /// Notes again what was noted by [`Self::refused`], of which only the `refused` form of the entry
    /// and the other head are left.
    pub fn refused_before(
        &mut self,
        id: JournalId,
        refused: &JournalEntry,
        reason: &str,
        head_if_accepted: Option<Sha256Hash>,
    ) {
        let open = self.open_for(id);
        open.refuse(refused, reason, head_if_accepted);
        open.last_seq = refused.seq;
        // Digests stand without a gap up to the last entry.
        open.recent.clear();
    }

    /// The head had the last entry been accepted; `None`: it was.
    #[must_use]
    pub fn head_if_accepted(&self) -> Option<Sha256Hash> {
        self.open.as_ref()?.head_if_accepted
    }

    /// What `head`, named by an agent, says about its journal. Not judged beyond an unanswered seq.
    #[must_use]
    pub fn judge(&self, head: &JournalHead) -> HeadVerdict {
        let Some(open) = self.open.as_ref().filter(|open| open.journal_id == head.journal_id)
        else {
            let replaced = self.closed.0.contains(&head.journal_id);
            return if replaced { HeadVerdict::Replaced } else { HeadVerdict::NotSeen };
        };
        if head.last_seq > open.last_seq {
            return HeadVerdict::Behind { from: open.last_seq.next() };
        }
        let same = head.head == open.head || Some(head.head) == open.head_if_accepted;
        if head.last_seq == open.last_seq && same {
            HeadVerdict::Level
        } else {
            HeadVerdict::Diverged
        }
    }

    fn open_for(&mut self, id: JournalId) -> &mut OpenJournal {
        if let Some(other) = self.open.take_if(|open| open.journal_id != id) {
            self.closed.push(other.journal_id);
        }
        self.open.get_or_insert_with(|| {
            Box::new(OpenJournal {
                journal_id: id,
                last_seq: Seq(0),
                head: Sha256Hash::default(),
                head_if_accepted: None,
                refused: BTreeMap::new(),
                recent: VecDeque::new(),
            })
        })
    }
}

impl OpenJournal {
    fn refuse(
        &mut self,
        refused: &JournalEntry,
        reason: &str,
        head_if_accepted: Option<Sha256Hash>,
    ) {
        self.head_if_accepted = head_if_accepted;
        self.head = chain_journal(&self.head, refused);
        self.refused.insert(refused.seq, reason.to_owned());
        while self.refused.len() > MAX_REFUSED {
            self.refused.pop_first();
        }
    }

    fn judge_known(&self, entry: &JournalEntry) -> Admission {
        if let Some(reason) = self.refused.get(&entry.seq) {
            let as_refused = matches!(entry.event, Event::Refused);
            let refused = || Admission::KnownRefused { reason: reason.clone() };
            return if as_refused { Admission::Known } else { refused() };
        }
        match self.digest(entry.seq) {
            Some(digest) if digest != digest_of(&journal_bytes(entry)) => Admission::Diverged,
            Some(_) | None => Admission::Known,
        }
    }

    /// The digest of an entry, while it is among the recent ones: they end with the last one, without
    /// a gap.
    fn digest(&self, seq: Seq) -> Option<Sha256Hash> {
        let back = usize::try_from(self.last_seq.0.checked_sub(seq.0)?).ok()?;
        let position = self.recent.len().checked_sub(back.checked_add(1)?)?;
        self.recent.get(position).copied()
    }

    fn note(&mut self, seq: Seq, entry: &[u8]) {
        self.last_seq = seq;
        if self.recent.len() == MAX_RECENT_DIGESTS {
            self.recent.pop_front();
        }
        self.recent.push_back(digest_of(entry));
    }
}

fn digest_of(entry: &[u8]) -> Sha256Hash {
    chain_journal_bytes(&Sha256Hash::default(), entry)
}

/// `entry` as it stands in a replay once it has been refused.
#[must_use]
pub fn refused_form(entry: &JournalEntry) -> JournalEntry {
    JournalEntry { seq: entry.seq, at: entry.at, event: Event::Refused }
}
