//! The step from one version of the trust file to the next, as TUF does it for its root: version `n + 1`
//! is signed by the threshold of version `n`'s release keys, and of its own.
//!
//! The signatures of both sets stand in one `.sig` file. Nothing that a version has excluded comes back
//! by a later one: the cut-off `reject_signed_before` and the date only move forward.
//!
//! Not here: which versions a machine has seen (see [`super::chain`]), keeping and sending them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{MAX_TRUST_BYTES, ThresholdError, TrustError, TrustFile};
use crate::artifact::rules::RuleCode;
use crate::canonical::canonicalize;
use crate::ids::{FleetName, KeyId};
use crate::signing::{ArtifactType, Signature};
use crate::time::Timestamp;
use crate::wire::problem::ProblemCode;

/// A version of the trust file as it is published and kept: its exact bytes, and its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTrust {
    /// The exact bytes, base64.
    pub document: String,
    /// Those of the version before, and its own.
    pub signatures: Vec<Signature>,
}

/// Why a version does not follow another.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// It is no trust file.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Its bytes are not base64.
    #[error("the trust file is not base64")]
    Encoding,
    /// It is of another fleet.
    #[error("the trust file is of fleet {offered}, not of {known}")]
    WrongFleet {
        /// Whose it is.
        offered: FleetName,
        /// Whose it should be.
        known: FleetName,
    },
    /// It is older than the version that holds.
    #[error("trust version {offered} is offered, version {known} holds already")]
    Regressed {
        /// The version that holds.
        known: u64,
        /// The one that is offered.
        offered: u64,
    },
    /// The version that holds says something else.
    #[error("trust version {0} is known with other content")]
    Conflict(u64),
    /// Versions in between are missing.
    #[error("trust version {offered} is offered, version {next} is the next one")]
    Gap {
        /// The next one.
        next: u64,
        /// The one that is offered.
        offered: u64,
    },
    /// Too few keys of the version before have signed.
    #[error("by the keys of version {version}: {error}")]
    KeysBefore {
        /// The version before.
        version: u64,
        /// Who has.
        error: ThresholdError,
    },
    /// Too few of its own keys have signed.
    #[error("by its own keys: {0}")]
    OwnKeys(ThresholdError),
    /// Its cut-off is earlier than that of the version before, or gone.
    #[error("reject_signed_before was {before} and only moves forward")]
    CutOff {
        /// That of the version before.
        before: Timestamp,
    },
    /// It is dated before the version before, or not at all.
    #[error("signed_at of the version before is {before}, it only moves forward")]
    Date {
        /// That of the version before.
        before: Timestamp,
    },
}

impl RotationError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Trust(TrustError::TooLarge) => ProblemCode::Rule(RuleCode::TooLarge),
            Self::Trust(TrustError::Schema(_)) => ProblemCode::Rule(RuleCode::UnsupportedSchema),
            Self::Trust(
                TrustError::Json(_)
                | TrustError::Shape(_)
                | TrustError::KeyId { .. }
                | TrustError::DuplicateKey(_)
                | TrustError::Window(_)
                | TrustError::Threshold { .. }
                | TrustError::TooManyKeys,
            )
            | Self::Encoding => ProblemCode::Rule(RuleCode::BadJson),
            Self::WrongFleet { .. } => ProblemCode::Rule(RuleCode::WrongFleet),
            Self::Regressed { .. } | Self::Date { .. } => ProblemCode::TrustRegressed,
            Self::Conflict(_) => ProblemCode::TrustConflict,
            Self::Gap { .. } => ProblemCode::TrustGap,
            Self::KeysBefore { .. } | Self::OwnKeys(_) => {
                ProblemCode::Rule(RuleCode::SignatureThreshold)
            }
            Self::CutOff { .. } => ProblemCode::CutOffMovedBack,
        }
    }
}

impl SignedTrust {
    /// A version with its signatures.
    #[must_use]
    pub fn new(bytes: &[u8], signatures: Vec<Signature>) -> Self {
        Self { document: STANDARD.encode(bytes), signatures }
    }

    /// The exact bytes.
    ///
    /// # Errors
    /// When they are too many, or not base64.
    pub fn bytes(&self) -> Result<Vec<u8>, RotationError> {
        // Four characters for three bytes.
        if self.document.len() > MAX_TRUST_BYTES.div_ceil(3) * 4 {
            return Err(TrustError::TooLarge.into());
        }
        STANDARD.decode(&self.document).map_err(|_| RotationError::Encoding)
    }

    /// What it says, read and checked; its signatures are not looked at.
    ///
    /// # Errors
    /// When it is no trust file.
    pub fn read(&self) -> Result<TrustFile, RotationError> {
        Ok(TrustFile::parse(&self.bytes()?)?)
    }

    /// Which keys of `trust` have signed it.
    ///
    /// # Errors
    /// When it is no trust file.
    pub fn signers(&self, trust: &TrustFile) -> Result<Vec<KeyId>, RotationError> {
        let signed_at = self.read()?.signed_at;
        let canonical = self.canonical()?;
        Ok(trust.signers_of((ArtifactType::Trust, &canonical), signed_at, &self.signatures))
    }

    /// The canonical bytes, as they are signed.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn canonical(&self) -> Result<Vec<u8>, RotationError> {
        canonicalize(&self.bytes()?).map_err(|error| TrustError::Json(error).into())
    }
}

/// The version that `offered` is, if it is the one after `current`.
///
/// # Errors
/// The first rule that it breaks.
pub fn next_version(
    current: &TrustFile,
    offered: &SignedTrust,
) -> Result<TrustFile, RotationError> {
    let next = offered.read()?;
    if next.fleet != current.fleet {
        let (offered, known) = (next.fleet, current.fleet.clone());
        return Err(RotationError::WrongFleet { offered, known });
    }
    if next.version <= current.version {
        let (known, offered) = (current.version, next.version);
        return Err(RotationError::Regressed { known, offered });
    }
    if Some(next.version) != current.version.checked_add(1) {
        let (next, offered) = (current.version.saturating_add(1), next.version);
        return Err(RotationError::Gap { next, offered });
    }
    let canonical = offered.canonical()?;
    let signed_by = |trust: &TrustFile| {
        let document = (ArtifactType::Trust, &canonical[..]);
        trust.enough(trust.signers_of(document, next.signed_at, &offered.signatures)).map(drop)
    };
    let version = current.version;
    signed_by(current).map_err(|error| RotationError::KeysBefore { version, error })?;
    signed_by(&next).map_err(RotationError::OwnKeys)?;
    match (current.reject_signed_before, next.reject_signed_before) {
        (Some(before), after) if after.is_none_or(|after| after < before) => {
            return Err(RotationError::CutOff { before });
        }
        (Some(_) | None, _) => {}
    }
    match (current.signed_at, next.signed_at) {
        (Some(before), after) if after.is_none_or(|after| after < before) => {
            Err(RotationError::Date { before })
        }
        (Some(_) | None, _) => Ok(next),
    }
}
