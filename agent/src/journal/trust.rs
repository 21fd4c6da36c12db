//! The versions of the trust file that this host has gone by.
//!
//! Not here: which version follows which (see `wavegate_proto::trust`).

use rusqlite::params;
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::chain::TrustVersion;
use wavegate_proto::trust::rotation::SignedTrust;

use super::{Journal, JournalError, columns};

impl Journal {
    /// Every version that was kept.
    ///
    /// # Errors
    /// When the database fails or holds what this agent does not write.
    pub fn trust_versions(&self) -> Result<Vec<TrustVersion>, JournalError> {
        let mut select = self.db.prepare("SELECT signed FROM trust_versions ORDER BY version")?;
        let mut found = select.query([])?;
        let mut versions = Vec::new();
        while let Some(row) = found.next()? {
            let text: String = row.get(0)?;
            let signed: Option<SignedTrust> = serde_json::from_str(&text).ok();
            let version = signed.and_then(|signed| TrustVersion::by_hand(signed).ok());
            versions.push(version.ok_or_else(|| columns::damaged("trust version", &text))?);
        }
        Ok(versions)
    }

    /// Keeps a version, in place of one with the same number.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn keep_trust(
        &mut self,
        version: &TrustVersion,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let signed = serde_json::to_string(version.signed())
            .map_err(|error| JournalError::Damaged(error.to_string()))?;
        let number = columns::integer(version.trust().version)?;
        self.db.execute(
            "REPLACE INTO trust_versions (version, signed, seen_at) VALUES (?1, ?2, ?3)",
            params![number, signed, at.to_string()],
        )?;
        Ok(())
    }
}
