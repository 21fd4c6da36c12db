//! Reading columns as the types they hold.
//!
//! Not here: which columns there are (see `load` and [`super::reader`]).

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::Row;
use serde::de::DeserializeOwned;
use wavegate_proto::ids::{LogSeq, Sha256Hash};

use super::error::StoreError;

/// One row of `table`, read by column number.
pub(super) struct Columns<'a> {
    pub(super) table: &'static str,
    pub(super) row: &'a Row<'a>,
}

impl Columns<'_> {
    /// A text that is written as `T` displays.
    pub(super) fn text<T>(&self, column: usize) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.row.get_ref(column)?;
        let text = text.as_str().map_err(|e| self.malformed(e))?;
        text.parse().map_err(|e| self.malformed(e))
    }

    /// The same, or null.
    pub(super) fn optional_text<T>(&self, column: usize) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.row.get_ref(column)? {
            rusqlite::types::ValueRef::Null => Ok(None),
            rusqlite::types::ValueRef::Integer(_)
            | rusqlite::types::ValueRef::Real(_)
            | rusqlite::types::ValueRef::Text(_)
            | rusqlite::types::ValueRef::Blob(_) => self.text(column).map(Some),
        }
    }

    /// A text that is JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, StoreError> {
        let text = self.row.get_ref(column)?;
        let text = text.as_str().map_err(|e| self.malformed(e))?;
        serde_json::from_str(text).map_err(|e| self.malformed(e))
    }

    /// The same, or null.
    pub(super) fn optional_json<T: DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.row.get(column)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|e| self.malformed(e))
    }

    /// An integer that is never negative.
    pub(super) fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T, StoreError> {
        let number: i64 = self.row.get(column)?;
        T::try_from(number).map_err(|_| self.malformed(format!("{number} is out of range")))
    }

    /// The position of a log row.
    pub(super) fn log_seq(&self, column: usize) -> Result<LogSeq, StoreError> {
        self.number(column).map(LogSeq)
    }

    /// A hash, as its 32 bytes.
    pub(super) fn hash(&self, column: usize) -> Result<Sha256Hash, StoreError> {
        let bytes: [u8; 32] = self.row.get(column)?;
        Ok(Sha256Hash(bytes))
    }

    fn malformed(&self, reason: impl Display) -> StoreError {
        StoreError::malformed(self.table, reason)
    }
}

/// A number as SQLite holds it. Serials and seqs stay far below 2^63.
pub(super) fn sql_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
