//! What is remembered beside the decisions: the time that is known to have been, and whether the control
//! plane was reached last. Rows of `meta`.
//!
//! Not here: what the decisions keep there (see `write`).

use rusqlite::{OptionalExtension as _, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wavegate_proto::time::Timestamp;

use super::{Journal, JournalError};

pub(super) const TIME_FLOOR: &str = "time_floor";
pub(super) const CONTACT: &str = "contact";

/// One thing to remember.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// The latest time that is known to have been.
    TimeFloor(Timestamp),
    /// Whether the control plane was reached.
    Contact(Contact),
}

/// Whether the control plane was reached last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Whether it was.
    pub reached: bool,
    /// Since when that is so, by this host's clock.
    pub since: Timestamp,
    /// Why not, or what is odd about it.
    pub detail: Option<String>,
}

impl Journal {
    /// The latest time that is known to have been.
    ///
    /// # Errors
    /// When the database fails or holds what this agent does not write.
    pub fn time_floor(&self) -> Result<Option<Timestamp>, JournalError> {
        self.note(TIME_FLOOR)
    }

    /// Whether the control plane was reached last.
    ///
    /// # Errors
    /// When the database fails or holds what this agent does not write.
    pub fn contact(&self) -> Result<Option<Contact>, JournalError> {
        self.note(CONTACT)
    }

    /// Remembers it, in place of what was remembered of its kind.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn keep_note(&mut self, note: &Note) -> Result<(), JournalError> {
        let (key, value) = match note {
            Note::TimeFloor(at) => (TIME_FLOOR, serde_json::to_string(at)),
            Note::Contact(contact) => (CONTACT, serde_json::to_string(contact)),
        };
        let value = value.map_err(|error| JournalError::Damaged(error.to_string()))?;
        let mut put = self.db.prepare_cached("REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
        put.execute(params![key, value])?;
        Ok(())
    }

    fn note<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JournalError> {
        let select = "SELECT value FROM meta WHERE key = ?1";
        let found: Option<String> =
            self.db.query_row(select, [key], |row| row.get(0)).optional()?;
        found.map(|text| super::read::json(key, &text)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_after_reopening_beside_what_the_decisions_keep() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.time_floor().unwrap(), None);
        let (early, late) = (Timestamp::from_unix_millis(1), Timestamp::from_unix_millis(2));
        let contact = Contact { reached: false, since: early, detail: Some("why".to_owned()) };
        for note in [Note::TimeFloor(early), Note::TimeFloor(late), Note::Contact(contact.clone())]
        {
            journal.keep_note(&note).unwrap();
        }
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.time_floor().unwrap(), Some(late));
        assert_eq!(journal.contact().unwrap(), Some(contact));
        journal.load().unwrap();
    }
}
