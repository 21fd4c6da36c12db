//! Evidence: the signed report of a collector that looks at single controls of a host.
//!
//! The file is `{"evidence":{…},"signature":{"key_id","signature"}}`; the signature is over the JCS bytes of
//! `evidence` as received, of the artifact type `evidence`. Not here: when it is asked for (probes), what a control is
//! about.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::canonical::canonical_bytes;
use crate::event::{MAX_LIST_ITEMS, SubResult};
use crate::json::{JsonError, parse_strict};
use crate::signing::{ArtifactType, PublicKey, Signature, SigningError};
use crate::time::Timestamp;

/// The most bytes of a report.
pub const MAX_EVIDENCE_BYTES: usize = 256 * 1024;

/// A report may be from so far in the future, in seconds: clocks differ.
pub const MAX_AHEAD_SECS: i64 = 60;

/// The status of a control that is as it should be.
const PASS: &str = "pass";

/// The mode of a control whose failure counts.
const ENFORCE: &str = "enforce";

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Evidence {
    /// 1.
    pub schema_version: u32,
    /// When it was collected.
    pub collected_at: Timestamp,
    /// The controls.
    pub controls: Vec<SubResult>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    evidence: Value,
    signature: Signature,
}

/// Why a report is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Too long.
    #[error("the report is above {MAX_EVIDENCE_BYTES} bytes")]
    TooLarge,
    /// Not JSON, or not of this shape.
    #[error("the report cannot be read: {0}")]
    Shape(String),
    /// Written for a newer reader.
    #[error("the report has schema version {0}, this agent reads 1")]
    Schema(u32),
    /// Too many controls.
    #[error("the report names more than {MAX_LIST_ITEMS} controls")]
    TooMany,
    /// Not signed by the collector.
    #[error("the report is not signed by the collector: {0}")]
    Signature(#[from] SigningError),
    /// Too old.
    #[error("the report is {age_secs} s old, {max_age_secs} s are allowed")]
    Old {
        /// Its age.
        age_secs: i64,
        /// The most that is allowed.
        max_age_secs: u64,
    },
    /// From the future.
    #[error("the report is from {0} s in the future")]
    Ahead(i64),
}

impl From<JsonError> for EvidenceError {
    fn from(error: JsonError) -> Self {
        Self::Shape(error.to_string())
    }
}

impl Evidence {
    /// Reads a report that `key` has signed and that is not older than `max_age_secs` at `now`. Nothing of it is
    /// looked at before the signature.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(
        bytes: &[u8],
        key: &PublicKey,
        max_age_secs: u64,
        now: Timestamp,
    ) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(EvidenceError::TooLarge);
        }
        let shape = |error: serde_json::Error| EvidenceError::Shape(error.to_string());
        let signed: Signed = serde_json::from_value(parse_strict(bytes)?).map_err(shape)?;
        let canonical = canonical_bytes(&signed.evidence);
        key.verify(ArtifactType::Evidence, &canonical, &signed.signature)?;
        let evidence: Self = serde_json::from_value(signed.evidence).map_err(shape)?;
        if evidence.schema_version != 1 {
            return Err(EvidenceError::Schema(evidence.schema_version));
        }
        if evidence.controls.len() > MAX_LIST_ITEMS {
            return Err(EvidenceError::TooMany);
        }
        let age_secs = now.secs_since(evidence.collected_at);
        if age_secs < -MAX_AHEAD_SECS {
            return Err(EvidenceError::Ahead(-age_secs));
        }
        if age_secs > i64::try_from(max_age_secs).unwrap_or(i64::MAX) {
            return Err(EvidenceError::Old { age_secs, max_age_secs });
        }
        Ok(evidence)
    }

    /// Why it does not speak for the host; `None`: every control counts and passes. A control that is named and not
    /// in the report fails; one whose own mode is not `enforce` is shown and does not count.
    #[must_use]
    pub fn complaint(&self, wanted: &[String]) -> Option<String> {
        let known: BTreeSet<&str> = self.controls.iter().map(|c| c.control.as_str()).collect();
        let missing = wanted.iter().map(String::as_str).filter(|name| !known.contains(name));
        let missing = missing.map(|name| format!("{name} is missing"));
        let counts = |c: &&SubResult| {
            c.effective_mode == ENFORCE && (wanted.is_empty() || wanted.contains(&c.control))
        };
        let failing = self.controls.iter().filter(counts).filter(|control| control.status != PASS);
        let failing = failing.map(|control| format!("{} is {}", control.control, control.status));
        let all: Vec<String> = missing.chain(failing).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}
