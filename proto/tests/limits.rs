//! Names, durations, texts and numbers at the edge of what is taken.
//!
//! Not here: the bounds of signed documents (see `rules`).
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use wavegate_proto::artifact::policy::Limit;
use wavegate_proto::artifact::revocations::MovedBack;
use wavegate_proto::duration::parse_duration;
use wavegate_proto::event::{MAX_TEXT_BYTES, cut_text};
use wavegate_proto::ids::{
    BlobId, ClosureId, HostName, ProbeName, ResourceId, Sha256Hash, WaveIndex,
};
use wavegate_proto::json::{depth_within, parse_strict};
use wavegate_proto::merkle::MerkleTree;
use wavegate_proto::record::{HostRecord, ProbeKind, ProbeMode, ProbeRecord, ProbeStatus};
use wavegate_proto::signing::{MAX_SIGNATURE_FILE_BYTES, PrivateKey, SignatureFile};
use wavegate_proto::trust::{MAX_TRUST_BYTES, TrustError, TrustFile, TrustedKey};

fn is<T: std::str::FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

#[test]
fn host_names_are_dns_labels() {
    for (text, fits) in [
        ("a", true),
        ("0", true),
        ("a-b", true),
        (&*"a".repeat(63), true),
        (&*"a".repeat(64), false),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("aB", false),
        ("a.b", false),
        ("a_b", false),
    ] {
        assert_eq!(is::<HostName>(text), fits, "{text:?}");
    }
}

#[test]
fn names_of_items_begin_with_a_letter_or_a_digit() {
    for (text, fits) in [
        ("a.b_c-1", true),
        ("0", true),
        (&*"a".repeat(64), true),
        (&*"a".repeat(65), false),
        ("", false),
        (".a", false),
        ("_a", false),
        ("a b", false),
        ("aB", false),
    ] {
        assert_eq!(is::<ProbeName>(text), fits, "probe {text:?}");
        assert_eq!(is::<ResourceId>(text), fits, "resource {text:?}");
    }
}

/// G28: a store path is one path segment below `/nix/store/`.
#[test]
fn g28_store_paths_at_their_limits() {
    let path = |hash: usize, name: &str| format!("/nix/store/{}-{name}", "a".repeat(hash));
    for (text, fits) in [
        (path(32, "x"), true),
        (path(32, "X9+._?=-"), true),
        (path(32, &"x".repeat(207)), true),
        (path(32, &"x".repeat(208)), false),
        (path(32, ""), false),
        (path(31, "x"), false),
        (path(33, "x"), false),
        (path(32, "x/y"), false),
        (path(32, "x y"), false),
        (format!("/nix/store/{}-x", "A".repeat(32)), false),
        (format!("/nix/{}-x", "a".repeat(32)), false),
    ] {
        assert_eq!(is::<ClosureId>(&text), fits, "{text}");
    }
    let blob = BlobId::of(b"x");
    assert_eq!(ClosureId::Bundle(blob).blob(), Some(blob));
    assert_eq!(path(32, "x").parse::<ClosureId>().unwrap().blob(), None);
    assert_eq!(format!("sha256:{}", &blob.file_name()["sha256-".len()..]), blob.to_string());
}

#[test]
fn durations_in_every_unit() {
    for (text, secs) in [("1s", 1), ("2m", 120), ("3h", 10_800), ("4d", 345_600)] {
        assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)), "{text}");
    }
    assert_eq!(parse_duration("5ms"), Ok(Duration::from_millis(5)));
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(MAX_TEXT_BYTES, 4096);
    for (length, kept) in [(0, 0), (4095, 4095), (4096, 4096), (4097, 4096), (9000, 4096)] {
        assert_eq!(cut_text("x".repeat(length)).len(), kept, "{length}");
    }
    let wide = cut_text(format!("x{}", "é".repeat(4000)));
    assert_eq!((wide.len(), wide.ends_with('é')), (4095, true));
}

/// E16: a share is rounded down.
#[test]
fn e16_limits_of_so_many_hosts() {
    for (limit, hosts, expected) in [
        (Limit::Count(3), 2, 3),
        (Limit::Percent(50), 3, 1),
        (Limit::Percent(100), 7, 7),
        (Limit::Percent(1), 99, 0),
        (Limit::Percent(25), 100_000, 25_000),
    ] {
        assert_eq!(limit.of(hosts), expected, "{limit:?} of {hosts}");
    }
}

/// G14: brackets in strings do not nest, and a quote in a string does not end it.
#[test]
fn g14_depth_is_counted_outside_of_strings() {
    for (text, depth) in [
        ("1", 0),
        ("[]", 1),
        ("[[]]", 2),
        ("[[],[]]", 2),
        ("{\"a\":[{}]}", 3),
        ("\"[[[\"", 0),
        ("[\"\\\"[[\"]", 1),
        ("[\"\\\\\",[]]", 2),
        ("]][[", 2),
    ] {
        assert!(depth_within(text.as_bytes(), depth), "{text} is {depth} deep");
        assert!(depth == 0 || !depth_within(text.as_bytes(), depth - 1), "{text} is {depth} deep");
    }
    for (depth, fits) in [(32, true), (33, false)] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(parse_strict(text.as_bytes()).is_ok(), fits, "{depth} times {open}");
        }
    }
}

#[test]
fn integers_that_every_reader_holds_exactly() {
    for (text, fits) in [
        ("9007199254740992", true),
        ("9007199254740993", false),
        ("-9007199254740992", true),
        ("-9007199254740993", false),
        ("1.0", false),
        ("true", true),
        ("null", true),
    ] {
        assert_eq!(parse_strict(text.as_bytes()).is_ok(), fits, "{text}");
    }
}

/// Files that are too large, or say too little, are refused before anything in them is believed.
#[test]
fn g14_files_of_keys_and_signatures_are_bounded() {
    let padded = |bytes: usize| format!("{}{}", " ".repeat(bytes), "{}").into_bytes();
    let why = SignatureFile::parse(&padded(MAX_SIGNATURE_FILE_BYTES)).unwrap_err().to_string();
    assert!(why.contains("above 65536"), "{why}");
    assert!(SignatureFile::parse(b"[").is_err() && SignatureFile::parse(b"{}").is_err());
    let trust = |bytes: &[u8]| TrustFile::parse(bytes).unwrap_err();
    assert!(matches!(trust(&padded(MAX_TRUST_BYTES)), TrustError::TooLarge));
    assert!(matches!(trust(b"{}"), TrustError::Shape(_)));
    let fleet = || "demo".parse().unwrap();
    let keys = |count: u8| -> Vec<TrustedKey> {
        let key = |seed| TrustedKey::new(PrivateKey::from_seed([seed; 32]).public_key());
        (1..=count).map(key).collect()
    };
    assert!(TrustFile::new(fleet(), 1, keys(64), vec![]).check().is_ok());
    let many = TrustFile::new(fleet(), 1, keys(65), vec![]);
    assert!(matches!(many.check(), Err(TrustError::TooManyKeys)));
    let other = TrustFile { schema_version: 2, ..TrustFile::new(fleet(), 1, keys(1), vec![]) };
    assert!(matches!(other.check(), Err(TrustError::Schema(2))));
}

#[test]
fn a_tree_without_leaves_is_the_hash_of_nothing() {
    let empty = MerkleTree::new(std::iter::empty());
    assert!(empty.is_empty());
    assert_eq!((empty.root(), empty.prove(0)), (Sha256Hash::of(b""), None));
    let one = MerkleTree::new(std::iter::once(&b"x"[..]));
    assert!(!one.is_empty());
}

#[test]
fn a_revocation_that_would_be_taken_back_is_told_in_words() {
    let known = "2026-11-21T09:00:00Z".parse().unwrap();
    let moved = |offered| MovedBack { subject: "host/a", known, offered }.to_string();
    let up_to = "host/a is revoked up to 2026-11-21T09:00:00.000Z, and would";
    assert_eq!(moved(None), format!("{up_to} not be any more"));
    assert_eq!(moved(Some(known)), format!("{up_to} be only up to 2026-11-21T09:00:00.000Z"));
}

/// Only an enforce probe that fails now speaks against a host.
#[test]
fn e8_which_probes_of_a_record_speak_against_it() {
    let closure = ClosureId::Bundle(BlobId::of(b"x"));
    let (id, host) = ("stable@r1".parse().unwrap(), "a".parse().unwrap());
    let opened = wavegate_proto::time::Timestamp::default();
    let mut record = HostRecord::pending(id, host, WaveIndex(0), closure, opened);
    for (mode, status, speaks) in [
        (ProbeMode::Enforce, ProbeStatus::Fail, true),
        (ProbeMode::Enforce, ProbeStatus::Pass, false),
        (ProbeMode::Enforce, ProbeStatus::Unknown, false),
        (ProbeMode::Observe, ProbeStatus::Fail, false),
        (ProbeMode::Disabled, ProbeStatus::Fail, false),
    ] {
        let (name, kind) = ("p".parse().unwrap(), ProbeKind::Http);
        let probe = ProbeRecord { name, kind, mode, status, failing_since: None, reason: None };
        assert_eq!(probe.is_enforced(), mode == ProbeMode::Enforce);
        record.probes = vec![probe];
        let failing = record.failing_enforce_probes().count();
        assert_eq!(failing, usize::from(speaks), "{mode:?} {status:?}");
    }
}
