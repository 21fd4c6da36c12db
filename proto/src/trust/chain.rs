//! The versions of the trust file that a machine has seen: from the one it was given by hand, each
//! followed by the next. It never goes back.
//!
//! Earlier versions are kept. What was accepted under one of them is history that can still be read, and
//! a host that slept follows them one by one.
//!
//! Not here: what makes a version the next one (see [`super::rotation`]), keeping them on a disk.

use super::TrustFile;
use super::rotation::{RotationError, SignedTrust, next_version};
use crate::artifact::rules::{RuleCode, Violation};
use crate::canonical::canonicalize;
use crate::signing::{MAX_SIGNATURES, Signature};
use crate::wire::trust::{MAX_TRUST_ANSWER_BYTES, MAX_TRUST_STEPS, TrustAnswer};

/// 64 bytes in base64.
const SIGNATURE_CHARS: usize = 88;

/// A version that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustVersion {
    trust: TrustFile,
    signed: SignedTrust,
}

/// The versions that were accepted, rising; there is always one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustChain {
    earlier: Vec<TrustVersion>,
    current: TrustVersion,
}

/// What became of a version that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// It is the current one now.
    New,
    /// It was known.
    Known,
}

/// How the file that was given by hand compares with what was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinned {
    /// It is the current version, and was not kept yet: it is to be kept.
    New,
    /// It is the current version, and was kept as it is.
    Known,
    /// It is older: the version that was kept holds.
    Older {
        /// Its version.
        version: u64,
    },
}

impl TrustVersion {
    /// A version given by hand: whoever may write the file is believed, so nothing is verified.
    ///
    /// # Errors
    /// When it is no trust file.
    pub fn by_hand(signed: SignedTrust) -> Result<Self, RotationError> {
        Ok(Self { trust: signed.read()?, signed })
    }

    /// What it says.
    #[must_use]
    pub fn trust(&self) -> &TrustFile {
        &self.trust
    }

    /// As it is kept and sent on.
    #[must_use]
    pub fn signed(&self) -> &SignedTrust {
        &self.signed
    }
}

impl TrustChain {
    /// Only the version given by hand.
    #[must_use]
    pub fn new(pinned: TrustVersion) -> Self {
        Self { earlier: Vec::new(), current: pinned }
    }

    /// What was kept of this fleet, and the version given by hand now. The higher version holds; of two with
    /// the same version the one given by hand.
    #[must_use]
    pub fn restore(mut kept: Vec<TrustVersion>, pinned: TrustVersion) -> (Self, Pinned) {
        kept.retain(|version| version.trust.fleet == pinned.trust.fleet);
        kept.sort_by_key(|version| version.trust.version);
        kept.dedup_by_key(|version| version.trust.version);
        let version = pinned.trust.version;
        match kept.pop() {
            Some(newest) if newest.trust.version > version => {
                (Self { earlier: kept, current: newest }, Pinned::Older { version })
            }
            Some(newest) if newest == pinned => {
                (Self { earlier: kept, current: newest }, Pinned::Known)
            }
            Some(newest) => {
                if newest.trust.version < version {
                    kept.push(newest);
                }
                (Self { earlier: kept, current: pinned }, Pinned::New)
            }
            None => (Self::new(pinned), Pinned::New),
        }
    }

    /// Whom the machine believes.
    #[must_use]
    pub fn trust(&self) -> &TrustFile {
        &self.current.trust
    }

    /// The current version.
    #[must_use]
    pub fn current(&self) -> &TrustVersion {
        &self.current
    }

    /// The number of the current version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.current.trust.version
    }

    /// Every version, the current one first.
    pub fn newest_first(&self) -> impl Iterator<Item = &TrustVersion> {
        std::iter::once(&self.current).chain(self.earlier.iter().rev())
    }

    /// Takes the next version. One that is known already changes nothing.
    ///
    /// # Errors
    /// Why it is not the next one; the current one stays.
    pub fn follow(&mut self, offered: &SignedTrust) -> Result<Followed, RotationError> {
        let named = offered.read()?.version;
        if named <= self.version()
            && let Some(known) = self.newest_first().find(|known| known.trust.version == named)
        {
            if same_document(&known.signed, offered) {
                return Ok(Followed::Known);
            }
            // An older one is a replay, whatever it says.
            if named == self.version() {
                return Err(RotationError::Conflict(named));
            }
        }
        let trust = next_version(self.trust(), offered)?;
        let signed = SignedTrust {
            document: offered.document.clone(),
            signatures: self.counting(offered, &trust),
        };
        let next = TrustVersion { trust, signed };
        self.earlier.push(std::mem::replace(&mut self.current, next));
        Ok(Followed::New)
    }

    /// The signatures that can have counted: what else was sent along is not kept, nor sent on.
    fn counting(&self, offered: &SignedTrust, next: &TrustFile) -> Vec<Signature> {
        let keys = || self.trust().release.keys.iter().chain(&next.release.keys);
        let looked_at = offered.signatures.iter().take(MAX_SIGNATURES);
        let counts = |signature: &&Signature| {
            signature.signature.len() == SIGNATURE_CHARS
                && keys().any(|key| key.key_id == signature.key_id)
        };
        looked_at.filter(counts).cloned().collect()
    }

    /// The versions after `version`, as far as they follow without a gap and fit into one answer.
    #[must_use]
    pub fn after(&self, version: u64) -> TrustAnswer {
        let rising = self.earlier.iter().chain([&self.current]);
        let later = rising.filter(|known| known.trust.version > version);
        let mut bytes = 0_usize;
        let mut items = Vec::new();
        for (known, next) in later.zip(version.saturating_add(1)..) {
            bytes = bytes.saturating_add(known.signed.document.len());
            let full = items.len() >= MAX_TRUST_STEPS
                || (!items.is_empty() && bytes > MAX_TRUST_ANSWER_BYTES / 2);
            if known.trust.version != next || full {
                break;
            }
            items.push(known.signed.clone());
        }
        TrustAnswer { current: self.version(), items }
    }

    /// Verifies history: what was accepted under an earlier version is still what it was, although its
    /// keys may have been replaced since.
    ///
    /// # Errors
    /// The rule that is broken under the current version, when no earlier one accepts it either.
    pub fn verify_history<T>(
        &self,
        verify: impl Fn(&TrustFile) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let refused = match verify(self.trust()) {
            Ok(verified) => return Ok(verified),
            Err(violation) if is_about_keys(&violation) => violation,
            Err(violation) => return Err(violation),
        };
        let mut earlier = self.newest_first().skip(1);
        earlier.find_map(|known| verify(&known.trust).ok()).ok_or(refused)
    }
}

/// Whether another version of the trust file could judge otherwise.
fn is_about_keys(violation: &Violation) -> bool {
    matches!(violation.code, RuleCode::SignatureThreshold | RuleCode::RejectedSignedBefore)
}

fn same_document(one: &SignedTrust, other: &SignedTrust) -> bool {
    let canonical = |signed: &SignedTrust| signed.bytes().ok().and_then(|b| canonicalize(&b).ok());
    one.document == other.document || canonical(one) == canonical(other)
}
