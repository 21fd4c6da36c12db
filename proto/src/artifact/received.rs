//! One signed document as received, and the rules that hold for every kind of it.
//!
//! The rules come in the order of [`RuleCode`]: size, JSON, schema version, signatures, cut-off,
//! fleet, serial, freshness. Everything is hashed as received (S5).
//!
//! Not here: the rules between documents (see [`crate::artifact::release`]).

use serde::Deserialize;
use serde_json::Value;

use crate::artifact::rules::{Freshness, MAX_FUTURE_SECS, RuleCode, VerifyContext, Violation};
use crate::canonical::canonical_bytes;
use crate::ids::{FleetName, KeyId, Serial, Sha256Hash};
use crate::json::parse_strict;
use crate::signing::{ArtifactType, SIGNATURE_SCHEMA_VERSION, SignatureFile};
use crate::time::Timestamp;

/// The schema version of fleet documents and headers that this build reads.
pub(super) const SCHEMA_VERSION: u64 = 1;

/// A document as received, and its canonical bytes.
pub(super) struct Received {
    pub(super) artifact: ArtifactType,
    pub(super) value: Value,
    pub(super) canonical: Vec<u8>,
}

/// What a document says about itself.
pub(super) struct Claims<'a> {
    pub(super) fleet: &'a FleetName,
    pub(super) serial: Serial,
    pub(super) signed_at: Timestamp,
    /// The hash of the fleet document it is, or belongs to.
    pub(super) fleet_sha256: Sha256Hash,
    /// The shortest freshness window that applies, in seconds; `None`: there is none.
    pub(super) freshness_window_secs: Option<u64>,
}

impl Received {
    /// Size, JSON, schema version.
    pub(super) fn new(
        artifact: ArtifactType,
        bytes: &[u8],
        max_bytes: usize,
    ) -> Result<Self, Violation> {
        let what = artifact.as_str();
        if bytes.len() > max_bytes {
            let detail = format!("{what}: {} bytes, at most {max_bytes}", bytes.len());
            return Err(Violation::new(RuleCode::TooLarge, detail));
        }
        let value = parse_strict(bytes)
            .map_err(|error| Violation::new(RuleCode::BadJson, format!("{what}: {error}")))?;
        let Some(version) = value.get("schema_version") else {
            return Err(Violation::new(RuleCode::BadJson, format!("{what}: no schema_version")));
        };
        if version.as_u64() != Some(SCHEMA_VERSION) {
            let detail = format!("{what}: schema version {version}, this build reads 1");
            return Err(Violation::new(RuleCode::UnsupportedSchema, detail));
        }
        let canonical = canonical_bytes(&value);
        Ok(Self { artifact, value, canonical })
    }

    /// The document as the type this build knows. Unknown keys are ignored.
    pub(super) fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Violation> {
        T::deserialize(&self.value).map_err(|error| {
            let detail = format!("{}: {error}", self.artifact.as_str());
            Violation::new(RuleCode::BadJson, detail)
        })
    }

    /// Signatures, cut-off, fleet, serial, freshness. Answers with who signed.
    pub(super) fn judge(
        &self,
        signatures: &SignatureFile,
        claims: &Claims<'_>,
        context: &VerifyContext<'_>,
    ) -> Result<Vec<KeyId>, Violation> {
        let what = self.artifact.as_str();
        let signed_by = self.signers(signatures, claims.signed_at, context)?;
        if let Some(cut_off) = context.trust.reject_signed_before.filter(|t| claims.signed_at < *t)
        {
            let detail =
                format!("{what}: signed at {}, the cut-off is {cut_off}", claims.signed_at);
            return Err(Violation::new(RuleCode::RejectedSignedBefore, detail));
        }
        if *claims.fleet != context.trust.fleet {
            let detail = format!("{what}: of {}, not of {}", claims.fleet, context.trust.fleet);
            return Err(Violation::new(RuleCode::WrongFleet, detail));
        }
        check_serial(what, claims, context)?;
        check_freshness(what, claims, context)?;
        Ok(signed_by)
    }

    fn signers(
        &self,
        signatures: &SignatureFile,
        signed_at: Timestamp,
        context: &VerifyContext<'_>,
    ) -> Result<Vec<KeyId>, Violation> {
        if signatures.schema_version != SIGNATURE_SCHEMA_VERSION {
            let detail = format!(
                "{}: its signatures have schema version {}, this build reads 1",
                self.artifact.as_str(),
                signatures.schema_version
            );
            return Err(Violation::new(RuleCode::UnsupportedSchema, detail));
        }
        context
            .trust
            .check_threshold(self.artifact, &self.canonical, signed_at, &signatures.signatures)
            .map_err(|error| {
                let detail = format!("{}: {error}", self.artifact.as_str());
                Violation::new(RuleCode::SignatureThreshold, detail)
            })
    }
}

/// S3: nothing older than what was accepted before, and only one release a serial.
fn check_serial(
    what: &str,
    claims: &Claims<'_>,
    context: &VerifyContext<'_>,
) -> Result<(), Violation> {
    let floor = context.floor;
    if claims.serial < floor.serial {
        let detail =
            format!("{what}: serial {}, {} was accepted before", claims.serial, floor.serial);
        return Err(Violation::new(RuleCode::SerialRegressed, detail));
    }
    let other = floor.fleet_sha256.is_some_and(|known| known != claims.fleet_sha256);
    if claims.serial == floor.serial && other {
        let detail = format!("{what}: another release with serial {} was accepted", claims.serial);
        return Err(Violation::new(RuleCode::SerialConflict, detail));
    }
    Ok(())
}

/// A11: the window is the one in the signed document.
fn check_freshness(
    what: &str,
    claims: &Claims<'_>,
    context: &VerifyContext<'_>,
) -> Result<(), Violation> {
    match context.freshness {
        Freshness::Ignored => return Ok(()),
        Freshness::Enforced => {}
    }
    let signed_at = claims.signed_at;
    if let Some(window) = claims.freshness_window_secs
        && context.now > signed_at.plus_secs(window)
    {
        let detail = format!("{what}: signed at {signed_at}, fresh for {window} s");
        return Err(Violation::new(RuleCode::Stale, detail));
    }
    if signed_at > context.now.plus_secs(MAX_FUTURE_SECS) {
        let detail = format!("{what}: signed at {signed_at}, now is {}", context.now);
        return Err(Violation::new(RuleCode::SignedInFuture, detail));
    }
    Ok(())
}
