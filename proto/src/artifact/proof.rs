//! Verifying one host's part of a rollout: the header by its signatures, the entry by its proof.
//!
//! Agents use it for what they act on. The control plane uses it, with [`Freshness::Ignored`] and no
//! floor, for headers that hosts offer after a wipe.
//!
//! Not here: the rules that need the fleet document (see [`crate::artifact::release`]).
//!
//! [`Freshness::Ignored`]: crate::artifact::rules::Freshness::Ignored

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::artifact::entry::HostEntry;
use crate::artifact::header::{MAX_HEADER_BYTES, RolloutHeader};
use crate::artifact::hosts_table::{MAX_ENTRY_BYTES, read_entry};
use crate::artifact::release::{check_entry_fits, check_has_hosts, verify_header};
use crate::artifact::rules::{RuleCode, VerifyContext, Violation};
use crate::artifact::verified::Verified;
use crate::canonical::canonicalize;
use crate::ids::{HostName, Sha256Hash};
use crate::merkle::verify_inclusion;
use crate::signing::SignatureFile;
use crate::wire::agent::RolloutProof;

/// The most characters of a header in base64.
const MAX_HEADER_BASE64: usize = MAX_HEADER_BYTES.div_ceil(3) * 4;

/// What the signed plan says to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// The rollout's header.
    pub header: RolloutHeader,
    /// What the ref is bound to.
    pub content_id: Sha256Hash,
    /// The host's entry.
    pub entry: HostEntry,
}

/// Verifies that `proof` holds a signed header and the entry of `host` in it.
///
/// # Errors
/// The first rule that is broken.
pub fn verify_rollout_proof(
    proof: &RolloutProof,
    host: &HostName,
    context: &VerifyContext<'_>,
) -> Result<Verified<HostPlan>, Violation> {
    if proof.header.len() > MAX_HEADER_BASE64 {
        let detail = format!("rollout: above {MAX_HEADER_BYTES} bytes");
        return Err(Violation::new(RuleCode::TooLarge, detail));
    }
    let header = STANDARD
        .decode(&proof.header)
        .map_err(|error| Violation::new(RuleCode::BadJson, format!("rollout: {error}")))?;
    let sig = SignatureFile::new(proof.signatures.clone());
    let verified = verify_header(&header, &sig, context)?;
    let header = verified.header;

    let leaf = canonicalize(proof.entry.to_string().as_bytes())
        .map_err(|error| Violation::new(RuleCode::BadJson, format!("entry: {error}")))?;
    if leaf.len() > MAX_ENTRY_BYTES {
        let detail = format!("entry: above {MAX_ENTRY_BYTES} bytes");
        return Err(Violation::new(RuleCode::TooLarge, detail));
    }
    let entry = read_entry(&proof.entry)?;
    verify_inclusion(&header.host_root, header.host_count, &leaf, &proof.proof).map_err(
        |error| {
            let detail = format!("{}: {}: {error}", header.rollout_id(), entry.host);
            Violation::new(RuleCode::MerkleMismatch, detail)
        },
    )?;
    check_has_hosts(&header)?;
    check_entry_fits(&entry, &header)?;
    if entry.host != *host {
        let detail = format!("{}: the entry is for {}", header.rollout_id(), entry.host);
        return Err(Violation::new(RuleCode::HostMismatch, detail));
    }
    let plan = HostPlan { header, content_id: verified.content_id, entry };
    Ok(Verified::new(plan, verified.signed_by))
}
