//! Trust rotation: which version follows which, and that nothing leads back.

#![allow(clippy::unwrap_used)]

use wavegate_proto::artifact::rules::{RuleCode, Violation};
use wavegate_proto::canonical::canonicalize;
use wavegate_proto::signing::{ArtifactType, PrivateKey};
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::chain::{Followed, Pinned, TrustChain, TrustVersion};
use wavegate_proto::trust::rotation::{RotationError, SignedTrust, next_version};
use wavegate_proto::trust::{TrustFile, TrustedKey};
use wavegate_proto::wire::trust::MAX_TRUST_STEPS;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

fn at(day: u32) -> Timestamp {
    format!("2026-01-{day:02}T00:00:00Z").parse().unwrap()
}

/// Version `version`, whose keys are `keys`, signed on that day of January.
fn trust(version: u64, threshold: u32, keys: &[u8]) -> TrustFile {
    let keys = keys.iter().map(|seed| TrustedKey::new(key(*seed).public_key())).collect();
    let mut trust = TrustFile::new("demo".parse().unwrap(), threshold, keys, vec!["PEM".into()]);
    trust.version = version;
    trust.signed_at = Some(at(u32::try_from(version.min(28)).unwrap()));
    trust
}

fn signed(trust: &TrustFile, by: &[u8]) -> SignedTrust {
    let bytes = serde_json::to_vec(trust).unwrap();
    let canonical = canonicalize(&bytes).unwrap();
    let signatures = by.iter().map(|seed| key(*seed).sign(ArtifactType::Trust, &canonical));
    SignedTrust::new(&bytes, signatures.collect())
}

fn chain(trust: &TrustFile) -> TrustChain {
    TrustChain::new(TrustVersion::by_hand(signed(trust, &[])).unwrap())
}

fn code(result: Result<impl Sized, RotationError>) -> &'static str {
    result.map(|_| "accepted").unwrap_or_else(|error| error.code().as_str())
}

#[test]
fn a_version_needs_the_threshold_of_the_one_before_and_its_own() {
    let before = trust(1, 2, &[1, 2, 3]);
    let after = trust(2, 2, &[3, 4, 5]);
    for (by, expected) in [
        (&[1, 2, 4, 5][..], "accepted"),
        // Key 3 is in both sets and counts in both.
        (&[2, 3, 4], "accepted"),
        (&[3, 4, 5], "signature-threshold"),
        (&[1, 2, 3], "signature-threshold"),
        (&[1, 1, 4, 5], "signature-threshold"),
        (&[4, 5], "signature-threshold"),
        (&[1, 2], "signature-threshold"),
        (&[], "signature-threshold"),
    ] {
        assert_eq!(code(next_version(&before, &signed(&after, by))), expected, "{by:?}");
    }
}

#[test]
fn a_signature_for_another_kind_of_document_does_not_count() {
    let after = trust(2, 1, &[1]);
    let mut offered = signed(&after, &[]);
    let canonical = offered.canonical().unwrap();
    offered.signatures.push(key(1).sign(ArtifactType::Fleet, &canonical));
    assert_eq!(code(next_version(&trust(1, 1, &[1]), &offered)), "signature-threshold");
}

#[test]
fn only_the_very_next_version_of_the_same_fleet_follows() {
    let current = trust(3, 1, &[1]);
    let offered = |version| signed(&trust(version, 1, &[1]), &[1]);
    for (version, expected) in [
        (1, "trust-regressed"),
        (2, "trust-regressed"),
        (3, "trust-regressed"),
        (4, "accepted"),
        (5, "trust-gap"),
        (9_007_199_254_740_991, "trust-gap"),
    ] {
        assert_eq!(code(next_version(&current, &offered(version))), expected, "{version}");
    }
    let mut other = trust(4, 1, &[1]);
    other.fleet = "other".parse().unwrap();
    assert_eq!(code(next_version(&current, &signed(&other, &[1]))), "wrong-fleet");
}

#[test]
fn s3_an_older_trust_file_is_refused_and_the_current_one_shown_again_changes_nothing() {
    let versions: Vec<SignedTrust> =
        [(1, 1), (2, 2), (3, 3)].map(|(v, k)| signed(&trust(v, 1, &[k]), &[1, 2, 3])).into();
    let mut chain = chain(&trust(1, 1, &[1]));
    assert_eq!(chain.follow(&versions[1]).unwrap(), Followed::New);
    assert_eq!(chain.follow(&versions[2]).unwrap(), Followed::New);
    assert_eq!(chain.follow(&versions[2]).unwrap(), Followed::Known);
    assert_eq!(chain.follow(&versions[1]).unwrap(), Followed::Known);
    assert_eq!(chain.version(), 3);
    // A key that was taken out makes another version 2, and another version 3.
    let again = signed(&trust(2, 1, &[2, 9]), &[1, 2]);
    assert_eq!(code(chain.follow(&again)), "trust-regressed");
    let other = signed(&trust(3, 1, &[2, 9]), &[2, 9]);
    assert_eq!(code(chain.follow(&other)), "trust-conflict");
    assert_eq!((chain.version(), chain.trust().release.keys.len()), (3, 1));
}

#[test]
fn the_cut_off_and_the_date_only_move_forward() {
    let mut current = trust(2, 1, &[1]);
    current.reject_signed_before = Some(at(10));
    let next = |cut_off: Option<Timestamp>, signed_at: Option<Timestamp>| {
        let mut next = trust(3, 1, &[1]);
        (next.reject_signed_before, next.signed_at) = (cut_off, signed_at);
        code(next_version(&current, &signed(&next, &[1])))
    };
    assert_eq!(next(Some(at(10)), Some(at(2))), "accepted");
    assert_eq!(next(Some(at(11)), Some(at(3))), "accepted");
    assert_eq!(next(Some(at(9)), Some(at(3))), "cut-off-moved-back");
    assert_eq!(next(None, Some(at(3))), "cut-off-moved-back");
    assert_eq!(next(Some(at(10)), Some(at(1))), "trust-regressed");
    assert_eq!(next(Some(at(10)), None), "trust-regressed");
}

#[test]
fn a_key_counts_by_the_date_of_the_version() {
    let mut current = trust(1, 1, &[1]);
    current.release.keys[0].not_after = Some(at(10));
    let next = |signed_at| {
        let mut next = trust(2, 1, &[2]);
        next.signed_at = signed_at;
        code(next_version(&current, &signed(&next, &[1, 2])))
    };
    assert_eq!(next(Some(at(10))), "accepted");
    assert_eq!(next(Some(at(11))), "signature-threshold");
    current.signed_at = None;
    let mut undated = trust(2, 1, &[2]);
    undated.signed_at = None;
    assert_eq!(code(next_version(&current, &signed(&undated, &[1, 2]))), "signature-threshold");
    current.release.keys[0].not_after = None;
    assert_eq!(code(next_version(&current, &signed(&undated, &[1, 2]))), "accepted");
}

/// S5: what is signed are the bytes as received: a key this build does not know is covered.
#[test]
fn s5_a_version_is_verified_over_its_bytes_as_received() {
    let current = trust(1, 1, &[1]);
    let mut value = serde_json::to_value(trust(2, 1, &[1])).unwrap();
    value["later"] = serde_json::json!({ "unknown": true });
    let bytes = serde_json::to_vec_pretty(&value).unwrap();
    let signature = key(1).sign(ArtifactType::Trust, &canonicalize(&bytes).unwrap());
    let offered = SignedTrust::new(&bytes, vec![signature.clone()]);
    assert_eq!(code(next_version(&current, &offered)), "accepted");
    value["later"] = serde_json::json!({ "unknown": false });
    let changed = SignedTrust::new(&serde_json::to_vec(&value).unwrap(), vec![signature]);
    assert_eq!(code(next_version(&current, &changed)), "signature-threshold");
}

#[test]
fn bad_bytes_have_codes_of_their_own() {
    let current = trust(1, 1, &[1]);
    let offered = |bytes: &[u8]| code(next_version(&current, &SignedTrust::new(bytes, vec![])));
    assert_eq!(offered(b"{"), "bad-json");
    assert_eq!(offered(br#"{"schema_version":2}"#), "unsupported-schema");
    assert_eq!(offered(&vec![b' '; 1024 * 1024 + 1]), "too-large");
    let no_base64 = SignedTrust { document: "!".to_owned(), signatures: vec![] };
    assert_eq!(code(next_version(&current, &no_base64)), "bad-json");
}

#[test]
fn a_host_that_slept_through_many_rotations_follows_them_step_by_step() {
    // Every version is signed by the key before and its own; no two have a key in common.
    let last = 60_u8;
    let version = |v: u8| signed(&trust(u64::from(v), 1, &[v]), &[v - 1, v]);
    let mut ahead = chain(&trust(1, 1, &[1]));
    (2..=last).for_each(|v| assert_eq!(ahead.follow(&version(v)).unwrap(), Followed::New));
    let mut asleep = chain(&trust(1, 1, &[1]));
    let mut fetches = 0;
    while asleep.version() < ahead.version() {
        let answer = ahead.after(asleep.version());
        assert!(answer.items.len() <= MAX_TRUST_STEPS);
        assert_eq!(answer.current, u64::from(last));
        answer
            .items
            .iter()
            .for_each(|item| assert_eq!(asleep.follow(item).unwrap(), Followed::New));
        fetches += 1;
    }
    assert_eq!((asleep.version(), fetches), (60, 4));
    assert!(ahead.after(60).items.is_empty());
    // The last version alone does not convince one that slept.
    let mut hasty = chain(&trust(1, 1, &[1]));
    assert_eq!(code(hasty.follow(&version(last))), "trust-gap");
}

#[test]
fn what_was_sent_along_with_a_version_is_not_sent_on() {
    let mut offered = signed(&trust(2, 1, &[2]), &[1, 2, 3, 4]);
    offered.signatures[3].signature = "A".repeat(1_000_000);
    offered.signatures[3].key_id = key(1).key_id();
    let mut chain = chain(&trust(1, 1, &[1]));
    chain.follow(&offered).unwrap();
    let [kept] = <[SignedTrust; 1]>::try_from(chain.after(1).items).unwrap();
    assert_eq!(kept.signatures, offered.signatures[..2]);
}

#[test]
fn versions_beyond_a_gap_are_not_offered() {
    let kept = [1, 2, 5].map(|v| TrustVersion::by_hand(signed(&trust(v, 1, &[1]), &[1])).unwrap());
    let (chain, _) = TrustChain::restore(kept[..2].to_vec(), kept[2].clone());
    assert_eq!(chain.after(1).items.len(), 1);
    assert!(chain.after(2).items.is_empty());
    assert_eq!(chain.after(4).items.len(), 1);
}

#[test]
fn after_a_restart_the_highest_version_ever_seen_holds() {
    let version =
        |v: u64, keys: &[u8]| TrustVersion::by_hand(signed(&trust(v, 1, keys), &[1])).unwrap();
    let kept = || vec![version(1, &[1]), version(2, &[1]), version(3, &[1])];
    let (chain, pinned) = TrustChain::restore(kept(), version(1, &[1]));
    assert_eq!((chain.version(), pinned), (3, Pinned::Older { version: 1 }));
    let (chain, pinned) = TrustChain::restore(kept(), version(3, &[1]));
    assert_eq!((chain.version(), pinned), (3, Pinned::Known));
    // Put there by hand, it needs no signature; nor does another version 3.
    let (chain, pinned) = TrustChain::restore(kept(), version(7, &[9]));
    assert_eq!((chain.version(), pinned), (7, Pinned::New));
    assert_eq!(chain.newest_first().count(), 4);
    let mut other = trust(9, 1, &[1]);
    other.fleet = "other".parse().unwrap();
    let strange = vec![TrustVersion::by_hand(signed(&other, &[1])).unwrap()];
    assert_eq!(TrustChain::restore(strange, version(1, &[1])).0.version(), 1);
    let (chain, pinned) = TrustChain::restore(kept(), version(3, &[9]));
    assert_eq!((chain.newest_first().count(), pinned), (3, Pinned::New));
    assert_eq!(chain.trust().release.keys[0].key_id, key(9).key_id());
}

#[test]
fn history_is_read_with_the_keys_of_its_time_and_nothing_else_is() {
    let mut chain = chain(&trust(1, 1, &[1]));
    chain.follow(&signed(&trust(2, 1, &[2]), &[1, 2])).unwrap();
    let by_version = |accepting: u64, code: RuleCode| {
        chain.verify_history(|trust| {
            if trust.version == accepting {
                Ok(trust.version)
            } else {
                Err(Violation::new(code, ""))
            }
        })
    };
    assert_eq!(by_version(2, RuleCode::SignatureThreshold), Ok(2));
    assert_eq!(by_version(1, RuleCode::SignatureThreshold), Ok(1));
    assert_eq!(by_version(1, RuleCode::RejectedSignedBefore), Ok(1));
    assert!(by_version(1, RuleCode::MerkleMismatch).is_err());
    assert!(by_version(9, RuleCode::SignatureThreshold).is_err());
}
