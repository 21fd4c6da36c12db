//! `trust.json`: the keys a machine believes, and how many of them it takes.
//!
//! The algorithm belongs to the key, never to the artifact (S6): nothing in a signed document or a
//! `.sig` file chooses how it is verified.
//!
//! [`rotation`] is the step from one version to the next, [`chain`] the versions a machine has seen.
//!
//! Not here: the signatures themselves (see [`crate::signing`]), the other rules
//! (see [`crate::artifact::rules`]).

pub mod chain;
pub mod rotation;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{FleetName, KeyId};
use crate::json::{JsonError, parse_strict};
use crate::signing::{ArtifactType, MAX_SIGNATURES, PublicKey, Signature};
use crate::time::{Timestamp, whole_seconds};

/// The schema version of a trust file.
pub const TRUST_SCHEMA_VERSION: u32 = 1;

/// The most bytes of a trust file.
pub const MAX_TRUST_BYTES: usize = 1024 * 1024;

/// The most keys a trust file may name.
pub const MAX_TRUSTED_KEYS: usize = 64;

/// Whom a machine believes. Pinned on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustFile {
    /// 1.
    pub schema_version: u32,
    /// Rises with every change.
    pub version: u64,
    /// The fleet.
    pub fleet: FleetName,
    /// When this version was signed. Keys that are valid for a time only count by it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "whole_seconds::option")]
    pub signed_at: Option<Timestamp>,
    /// Who signs releases.
    pub release: ReleaseTrust,
    /// Who lets hosts into the fleet; `None`: nobody, certificates are handed out by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enroll: Option<EnrollTrust>,
    /// Artifacts signed before this are refused.
    #[serde(default, with = "whole_seconds::option")]
    pub reject_signed_before: Option<Timestamp>,
    /// The certificate authorities of the fleet, PEM.
    pub ca_pem: Vec<String>,
}

/// Who signs releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseTrust {
    /// How many distinct keys must sign; at least 1.
    pub threshold: u32,
    /// The keys.
    pub keys: Vec<TrustedKey>,
}

/// Who lets hosts into the fleet: one signature of one of these keys is enough for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollTrust {
    /// The keys.
    pub keys: Vec<TrustedKey>,
}

/// A key that is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// The id of `public_key`.
    pub key_id: KeyId,
    /// How its signatures are verified.
    pub algorithm: Algorithm,
    /// The key.
    pub public_key: PublicKey,
    /// Signatures dated before this do not count.
    #[serde(default, with = "whole_seconds::option")]
    pub not_before: Option<Timestamp>,
    /// Signatures dated after this do not count.
    #[serde(default, with = "whole_seconds::option")]
    pub not_after: Option<Timestamp>,
}

/// How a key's signatures are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    #[serde(rename = "ed25519")]
    Ed25519,
}

/// Why a trust file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Larger than [`MAX_TRUST_BYTES`].
    #[error("the trust file is larger than {MAX_TRUST_BYTES} bytes")]
    TooLarge,
    /// Not acceptable JSON.
    #[error("the trust file is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON of another shape, an algorithm or a key that is none.
    #[error("the trust file is malformed: {0}")]
    Shape(String),
    /// A schema version this build does not read.
    #[error("the trust file has schema version {0}, this build reads {TRUST_SCHEMA_VERSION}")]
    Schema(u64),
    /// A key id that is not the key's.
    #[error("key {named} is really {actual}")]
    KeyId {
        /// As written.
        named: KeyId,
        /// As computed.
        actual: KeyId,
    },
    /// A key that is there twice.
    #[error("key {0} is there twice")]
    DuplicateKey(KeyId),
    /// A key that was never valid.
    #[error("key {0} ends before it begins")]
    Window(KeyId),
    /// A threshold of 0, or above the number of keys.
    #[error("the threshold is {threshold}, with {keys} keys")]
    Threshold {
        /// The threshold.
        threshold: u32,
        /// The number of keys.
        keys: usize,
    },
    /// More than [`MAX_TRUSTED_KEYS`].
    #[error("more than {MAX_TRUSTED_KEYS} keys")]
    TooManyKeys,
}

/// Too few keys have signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of {needed} needed signatures are valid", signed_by.len())]
pub struct ThresholdError {
    /// The keys whose signature is valid.
    pub signed_by: Vec<KeyId>,
    /// How many it takes.
    pub needed: u32,
}

impl TrustedKey {
    /// An Ed25519 key that is valid at any time.
    #[must_use]
    pub fn new(public_key: PublicKey) -> Self {
        Self {
            key_id: public_key.key_id(),
            algorithm: Algorithm::Ed25519,
            public_key,
            not_before: None,
            not_after: None,
        }
    }

    /// A document without a date is within no window.
    pub(crate) fn is_valid_at(&self, signed_at: Option<Timestamp>) -> bool {
        self.not_before.is_none_or(|from| signed_at.is_some_and(|at| at >= from))
            && self.not_after.is_none_or(|to| signed_at.is_some_and(|at| at <= to))
    }

    fn has_signed(&self, artifact: ArtifactType, canonical: &[u8], signature: &Signature) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => self.public_key.verify(artifact, canonical, signature).is_ok(),
        }
    }
}

impl TrustFile {
    /// The first version of a trust file, to be completed by its maker and checked with
    /// [`TrustFile::check`].
    #[must_use]
    pub fn new(
        fleet: FleetName,
        threshold: u32,
        keys: Vec<TrustedKey>,
        ca_pem: Vec<String>,
    ) -> Self {
        Self {
            schema_version: TRUST_SCHEMA_VERSION,
            version: 1,
            fleet,
            signed_at: None,
            release: ReleaseTrust { threshold, keys },
            enroll: None,
            reject_signed_before: None,
            ca_pem,
        }
    }

    /// Reads and checks a trust file.
    ///
    /// # Errors
    /// When it is malformed or could never be satisfied.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > MAX_TRUST_BYTES {
            return Err(TrustError::TooLarge);
        }
        let value = parse_strict(bytes)?;
        match value.get("schema_version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(TRUST_SCHEMA_VERSION) => {}
            Some(version) => return Err(TrustError::Schema(version)),
            None => return Err(TrustError::Shape("no schema_version".to_owned())),
        }
        let trust: Self =
            serde_json::from_value(value).map_err(|e| TrustError::Shape(e.to_string()))?;
        trust.check()?;
        Ok(trust)
    }

    /// Checks what the shape does not say: ids, duplicates, validity, threshold.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), TrustError> {
        let keys = &self.release.keys;
        if self.schema_version != TRUST_SCHEMA_VERSION {
            return Err(TrustError::Schema(u64::from(self.schema_version)));
        }
        check_keys(keys)?;
        check_keys(self.enroll_keys())?;
        let threshold = self.release.threshold;
        let reachable = usize::try_from(threshold).is_ok_and(|needed| needed <= keys.len());
        if threshold == 0 || !reachable {
            return Err(TrustError::Threshold { threshold, keys: keys.len() });
        }
        Ok(())
    }

    /// The keys whose tokens let hosts into the fleet.
    #[must_use]
    pub fn enroll_keys(&self) -> &[TrustedKey] {
        self.enroll.as_ref().map(|enroll| enroll.keys.as_slice()).unwrap_or_default()
    }

    /// The distinct known keys that have validly signed the document, by id. Unknown key ids are
    /// ignored, and so are keys outside their validity at `signed_at`.
    #[must_use]
    pub fn signers(
        &self,
        artifact: ArtifactType,
        canonical: &[u8],
        signed_at: Timestamp,
        signatures: &[Signature],
    ) -> Vec<KeyId> {
        self.signers_of((artifact, canonical), Some(signed_at), signatures)
    }

    /// The same for a document that may have no date.
    fn signers_of(
        &self,
        (artifact, canonical): (ArtifactType, &[u8]),
        signed_at: Option<Timestamp>,
        signatures: &[Signature],
    ) -> Vec<KeyId> {
        let signed = |key: &&TrustedKey| {
            key.is_valid_at(signed_at)
                && signatures
                    .iter()
                    .take(MAX_SIGNATURES)
                    .any(|s| s.key_id == key.key_id && key.has_signed(artifact, canonical, s))
        };
        let ids: BTreeSet<_> =
            self.release.keys.iter().filter(signed).map(|key| key.key_id.clone()).collect();
        ids.into_iter().collect()
    }

    /// The signers of the document, if they are enough.
    ///
    /// # Errors
    /// When they are not.
    pub fn check_threshold(
        &self,
        artifact: ArtifactType,
        canonical: &[u8],
        signed_at: Timestamp,
        signatures: &[Signature],
    ) -> Result<Vec<KeyId>, ThresholdError> {
        self.enough(self.signers(artifact, canonical, signed_at, signatures))
    }

    fn enough(&self, signed_by: Vec<KeyId>) -> Result<Vec<KeyId>, ThresholdError> {
        let needed = self.release.threshold;
        let enough = usize::try_from(needed).is_ok_and(|needed| signed_by.len() >= needed.max(1));
        if enough { Ok(signed_by) } else { Err(ThresholdError { signed_by, needed }) }
    }
}

fn check_keys(keys: &[TrustedKey]) -> Result<(), TrustError> {
    if keys.len() > MAX_TRUSTED_KEYS {
        return Err(TrustError::TooManyKeys);
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        let actual = key.public_key.key_id();
        if key.key_id != actual {
            return Err(TrustError::KeyId { named: key.key_id.clone(), actual });
        }
        if !seen.insert(&key.key_id) {
            return Err(TrustError::DuplicateKey(actual));
        }
        if key.not_before.zip(key.not_after).is_some_and(|(from, to)| to < from) {
            return Err(TrustError::Window(actual));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::signing::PrivateKey;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from_seed([seed; 32])
    }

    fn trust(threshold: u32, seeds: &[u8]) -> TrustFile {
        let keys = seeds.iter().map(|s| TrustedKey::new(key(*s).public_key())).collect();
        TrustFile::new("demo".parse().unwrap(), threshold, keys, vec!["PEM".to_owned()])
    }

    fn edited(edit: impl FnOnce(&mut Value)) -> Result<TrustFile, TrustError> {
        let mut value = serde_json::to_value(trust(1, &[1, 2])).unwrap();
        edit(&mut value);
        TrustFile::parse(value.to_string().as_bytes())
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let written = trust(2, &[1, 2, 3]);
        let bytes = serde_json::to_vec(&written).unwrap();
        assert_eq!(TrustFile::parse(&bytes).unwrap(), written);
    }

    #[test]
    fn what_could_never_be_satisfied_is_refused() {
        let is = |result: Result<TrustFile, TrustError>, text: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        is(edited(|v| v["schema_version"] = json!(2)), "schema version 2");
        is(edited(|v| v["release"]["threshold"] = json!(0)), "threshold is 0");
        is(edited(|v| v["release"]["threshold"] = json!(3)), "threshold is 3, with 2 keys");
        is(edited(|v| v["release"]["keys"][0]["key_id"] = json!("0000000000000000")), "is really");
        is(edited(|v| v["release"]["keys"][1] = v["release"]["keys"][0].clone()), "there twice");
        is(edited(|v| v["release"]["keys"][0]["public_key"] = json!("AAAA")), "malformed");
        is(
            edited(|v| {
                v["release"]["keys"][0]["not_before"] = json!("2027-01-01T00:00:00Z");
                v["release"]["keys"][0]["not_after"] = json!("2026-01-01T00:00:00Z");
            }),
            "ends before",
        );
    }

    /// S6: the algorithm is the key's, and only the one this build knows.
    #[test]
    fn s6_an_unknown_algorithm_is_refused_and_a_signature_cannot_name_one() {
        for algorithm in ["none", "rsa", "Ed25519", ""] {
            let result = edited(|v| v["release"]["keys"][0]["algorithm"] = json!(algorithm));
            assert!(matches!(result, Err(TrustError::Shape(_))), "{algorithm}");
        }
        let text = r#"{"key_id":"34750f98bd59fcfc","signature":"AAAA","algorithm":"none"}"#;
        let signature: Signature = serde_json::from_str(text).unwrap();
        let at = Timestamp::default();
        assert!(trust(1, &[1]).signers(ArtifactType::Fleet, b"{}", at, &[signature]).is_empty());
    }

    #[test]
    fn the_threshold_counts_distinct_known_keys() {
        let at = Timestamp::default();
        let signed = |seeds: &[u8]| -> Vec<Signature> {
            seeds.iter().map(|s| key(*s).sign(ArtifactType::Fleet, b"{}")).collect()
        };
        let check = |trust: &TrustFile, signatures: &[Signature]| {
            trust.check_threshold(ArtifactType::Fleet, b"{}", at, signatures).map(|ids| ids.len())
        };
        let two = trust(2, &[1, 2]);
        assert_eq!(check(&two, &signed(&[1, 2])), Ok(2));
        assert_eq!(check(&two, &signed(&[9, 2, 8, 1])), Ok(2));
        for too_few in [&[][..], &[1], &[1, 1], &[1, 9], &[8, 9]] {
            assert!(check(&two, &signed(too_few)).is_err(), "{too_few:?}");
        }
        let mut renamed = signed(&[1, 9]);
        renamed[1].key_id = key(2).key_id();
        assert!(check(&two, &renamed).is_err());
    }

    #[test]
    fn a_key_counts_while_it_is_valid_at_the_time_of_signing() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut trust = trust(1, &[1]);
        trust.release.keys[0].not_before = Some(at("2026-01-01T00:00:00Z"));
        trust.release.keys[0].not_after = Some(at("2026-12-31T00:00:00Z"));
        let signatures = [key(1).sign(ArtifactType::Fleet, b"{}")];
        for (when, counts) in [
            ("2025-12-31T23:59:59Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2026-12-31T00:00:00Z", true),
            ("2026-12-31T00:00:01Z", false),
        ] {
            let signers = trust.signers(ArtifactType::Fleet, b"{}", at(when), &signatures);
            assert_eq!(signers.len() == 1, counts, "{when}");
        }
    }
}
