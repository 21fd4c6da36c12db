//! `wavegate trust show`.
//!
//! Not here: private keys, which are never shown.

use wavegate_proto::trust::TrustFile;

use super::table::{or_dash, pairs, table};

/// Whom a trust file believes.
#[must_use]
pub fn trust(trust: &TrustFile) -> String {
    let head = pairs(&[
        ("fleet", trust.fleet.to_string()),
        ("version", trust.version.to_string()),
        ("threshold", format!("{} of {} keys", trust.release.threshold, trust.release.keys.len())),
        ("refused when signed before", or_dash(trust.reject_signed_before)),
        ("authorities", trust.ca_pem.len().to_string()),
    ]);
    let rows = trust.release.keys.iter().map(|key| {
        [
            key.key_id.to_string(),
            key.public_key.to_string(),
            or_dash(key.not_before),
            or_dash(key.not_after),
        ]
    });
    format!("{head}\n{}", table(["KEY", "PUBLIC KEY", "NOT BEFORE", "NOT AFTER"], rows, "no keys"))
}
