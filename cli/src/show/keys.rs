//! `wavegate trust`.
//!
//! Not here: private keys, which are never shown.

use wavegate_proto::ids::KeyId;
use wavegate_proto::trust::{TrustFile, TrustedKey};
use wavegate_proto::wire::trust::TrustPublished;

use super::table::{or_dash, pairs, table};
use crate::keys::rotation::Standing;

/// Whom a trust file believes, and who of its own keys has signed it.
#[must_use]
pub fn trust(trust: &TrustFile, own: &Standing) -> String {
    let head = pairs(&[
        ("fleet", trust.fleet.to_string()),
        ("version", trust.version.to_string()),
        ("signed at", or_dash(trust.signed_at)),
        ("signed by", key_names(&own.signed)),
        ("threshold", format!("{} of {} keys", trust.release.threshold, trust.release.keys.len())),
        ("refused when signed before", or_dash(trust.reject_signed_before)),
        ("authorities", trust.ca_pem.len().to_string()),
    ]);
    let rows = |keys: &[TrustedKey], signs: &str| -> Vec<_> {
        let row = |key: &TrustedKey| {
            [
                key.key_id.to_string(),
                signs.to_owned(),
                key.public_key.to_string(),
                or_dash(key.not_before),
                or_dash(key.not_after),
            ]
        };
        keys.iter().map(row).collect()
    };
    let rows = [rows(&trust.release.keys, "releases"), rows(trust.enroll_keys(), "tokens")];
    let header = ["KEY", "SIGNS", "PUBLIC KEY", "NOT BEFORE", "NOT AFTER"];
    format!("{head}\n{}", table(header, rows.concat(), "no keys"))
}

/// Who of one set of keys has signed a version, and who has not.
#[must_use]
pub fn standing(standing: &Standing) -> String {
    let Standing { version, threshold, signed, missing } = standing;
    let enough = if standing.is_enough() { "enough" } else { "not enough" };
    format!(
        "keys of version {version}: signed by {}; missing {}; needed {threshold}: {enough}\n",
        key_names(signed),
        key_names(missing),
    )
}

/// What publishing a version did.
#[must_use]
pub fn trust_published(answer: &TrustPublished) -> String {
    let version = format!("trust version {} holds\n", answer.version);
    match answer.release_trusted {
        Some(false) => format!(
            "{version}warning: the adopted release is not signed by enough of its keys, or before its cut-off: \
             nothing is dispatched until it is signed anew and published\n"
        ),
        Some(true) | None => version,
    }
}

/// Keys by their ids.
pub(super) fn key_names(keys: &[KeyId]) -> String {
    let keys: Vec<_> = keys.iter().map(KeyId::as_str).collect();
    if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
}
