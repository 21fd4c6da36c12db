//! Every rule, by a release that breaks just that one.
//!
//! Not here: the figures of other implementations (see `vectors.rs`).

#![allow(clippy::unwrap_used)]

mod sample;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wavegate_proto::artifact::release::content_id;
use wavegate_proto::artifact::rules::{Freshness, RuleCode, SerialFloor};
use wavegate_proto::ids::{Serial, Sha256Hash};

use sample::{Sample, key};

type Break = fn(&mut Sample);

/// One document each that breaks the rule, first by the header, in the order of the rules.
const HEADER_RULES: &[(RuleCode, Break)] = &[
    (RuleCode::TooLarge, |s| s.header_padding = 256 * 1024),
    (RuleCode::BadJson, |s| s.header_duplicate_key = true),
    (RuleCode::UnsupportedSchema, |s| s.header["schema_version"] = json!(2)),
    (RuleCode::SignatureThreshold, |s| s.header_signers = vec![9]),
    (RuleCode::RejectedSignedBefore, |s| {
        s.trust.reject_signed_before = Some("2026-11-21T09:00:01Z".parse().unwrap());
    }),
    (RuleCode::WrongFleet, |s| s.trust.fleet = "other".parse().unwrap()),
    (RuleCode::SerialRegressed, |s| {
        s.header["serial"] = json!(41);
        s.fleet["serial"] = json!(41);
        s.floor.serial = Serial(42);
    }),
    (RuleCode::Stale, |s| s.now = "2026-11-22T09:00:00.001Z".parse().unwrap()),
    (RuleCode::MerkleMismatch, |s| s.header["host_root"] = json!(Sha256Hash::of(b"x"))),
    (RuleCode::HostMismatch, |s| s.asking = "web-02".parse().unwrap()),
];

/// More ways to break a release, each with its code.
const RELEASE_RULES: &[(RuleCode, Break)] = &[
    (RuleCode::SerialConflict, |s| {
        s.floor = SerialFloor { serial: Serial(42), fleet_sha256: Some(Sha256Hash::of(b"x")) };
    }),
    (RuleCode::SignedInFuture, |s| s.now = "2026-11-21T08:58:59.999Z".parse().unwrap()),
    (RuleCode::FleetHashMismatch, |s| s.header["fleet_sha256"] = json!(Sha256Hash::of(b"x"))),
    (RuleCode::FleetHashMismatch, |s| s.header["serial"] = json!(43)),
    (RuleCode::FleetHashMismatch, |s| s.header["signed_at"] = json!("2026-11-21T09:00:01Z")),
    (RuleCode::FleetHashMismatch, |s| s.header["ref"] = json!("r43")),
    (RuleCode::FleetHashMismatch, |s| s.header["channel"] = json!("edge")),
    (RuleCode::FleetHashMismatch, |s| s.header["freshness_window_secs"] = json!(86401)),
    (RuleCode::FleetHashMismatch, |s| s.headers_given = 2),
    (RuleCode::MerkleMismatch, |s| s.header["host_count"] = json!(3)),
    (RuleCode::MerkleMismatch, |s| s.hosts[1]["wave"] = json!(2)),
    (RuleCode::MerkleMismatch, |s| s.hosts[1]["budgets"] = json!(["nope"])),
    (RuleCode::EmptyWave, |s| s.hosts[1]["wave"] = json!(0)),
    (RuleCode::EmptyWave, |s| {
        s.hosts.clear();
        s.fleet["hosts"] = json!({});
    }),
    (RuleCode::EmptyWave, |s| {
        s.hosts.clear();
        s.header["policy"]["waves"] = json!([]);
    }),
    (RuleCode::HostMismatch, |s| s.headers_given = 0),
    (RuleCode::HostMismatch, |s| s.fleet["hosts"]["web-01"]["closure"] = sample::closure(9)),
    (RuleCode::HostMismatch, |s| {
        s.fleet["hosts"]["web-03"] = s.fleet["hosts"]["web-01"].clone();
    }),
    (RuleCode::HostMismatch, |s| {
        s.fleet["hosts"].as_object_mut().unwrap().remove("web-01");
    }),
    (RuleCode::HostMismatch, |s| s.fleet["hosts"]["web-01"]["channel"] = json!("edge")),
];

fn revocation(subject: &str, reason: &str) -> Value {
    json!({"subject": subject, "not_before": "2026-11-21T09:00:00Z", "reason": reason})
}

/// The same at their bounds, and whatever else may be said.
const WELL_FORMED: &[Break] = &[
    |s| s.fleet["channels"]["stable"]["rollout_policy"] = json!("a".repeat(128)),
    |s| s.fleet["hosts"]["web-01"]["tags"] = json!(vec!["t"; 64]),
    |s| s.fleet["hosts"]["web-01"]["public_key"] = json!("AAAA"),
    |s| s.fleet["revoked"] = json!([revocation("host/web-01", &"x".repeat(4096))]),
    |s| {
        let without_reason = json!({"subject": "host/a", "not_before": "2026-11-21T09:00:00Z"});
        s.fleet["revoked"] = json!([without_reason]);
    },
    |s| s.fleet["operators"] = json!({"alice": {"channels": ["stable"]}}),
    |s| s.fleet["enroll"] = json!({"mode": "open"}),
    |s| s.fleet["enroll"] = json!({"mode": "strict", "nonce": "n".repeat(22)}),
    |s| s.fleet["channel_edges"][0]["reason"] = json!("x".repeat(4096)),
    |s| s.header["policy"]["waves"][0]["soak_secs"] = json!(366 * 86400),
    |s| s.header["policy"]["max_infra_failures"] = json!({"percent": 100}),
    |s| s.header["policy"]["infra_retries"] = json!(100),
    |s| s.header["policy"]["max_dispatch_per_minute"] = json!(1),
    |s| s.header["policy"]["failure_threshold_secs"] = json!(0),
    |s| s.hosts[0]["after"] = json!(["web-02"]),
    |s| {
        let path = format!("/nix/store/{}-x", "a".repeat(32));
        s.fleet["hosts"]["web-01"]["closure"] = json!(path);
        s.hosts[0]["closure"] = json!(path);
        s.hosts[0]["checks"] = sample::closure(1);
    },
];

#[test]
fn what_is_at_its_bound_is_taken() {
    for (number, edit) in WELL_FORMED.iter().enumerate() {
        let verified = broken(&[*edit]).verify_release();
        assert_eq!(verified.err().map(|v| v.detail), None, "number {number}");
    }
}

/// Numbers and lists outside their bounds, and tables out of form.
const MALFORMED: &[Break] = &[
    |s| s.fleet["serial"] = json!(0),
    |s| s.fleet["serial"] = json!(9_007_199_254_740_993_u64),
    |s| s.fleet["serial"] = json!(42.5),
    |s| s.fleet["channels"]["stable"]["freshness_window_secs"] = json!(0),
    |s| s.fleet["channels"]["stable"]["freshness_window_secs"] = json!(366 * 86400 + 1),
    |s| s.fleet["hosts"]["web-01"]["channel"] = json!("nope"),
    |s| s.fleet["hosts"]["web-01"]["tags"] = json!(vec!["t"; 65]),
    |s| s.fleet["hosts"]["web-01"]["tags"] = json!([""]),
    |s| s.fleet["hosts"]["web-01"]["closure"] = json!("sha256:../../etc/passwd"),
    |s| s.fleet["hosts"]["Web_01"] = s.fleet["hosts"]["web-01"].clone(),
    |s| s.fleet["channel_edges"] = json!([{"before": "edge", "after": "nope"}]),
    |s| {
        let edge = |a: &str, b: &str| json!({"before": a, "after": b});
        s.fleet["channel_edges"] = json!([edge("edge", "stable"), edge("stable", "edge")]);
    },
    |s| s.header["freshness_window_secs"] = json!(366 * 86400 + 1),
    |s| s.header["policy"]["failure_threshold_secs"] = json!(366 * 86400 + 1),
    |s| s.header["policy"]["activation_timeout_secs"] = json!(0),
    |s| s.header["policy"]["waves"][0]["soak_secs"] = json!(-1),
    |s| s.header["policy"]["waves"][1]["name"] = json!("canary"),
    |s| s.header["policy"]["max_failures"] = json!({"percent": 101}),
    |s| s.header["policy"]["on_health_failure"] = json!("shrug"),
    |s| s.fleet["channels"]["stable"]["rollout_policy"] = json!(""),
    |s| s.fleet["channels"]["stable"]["rollout_policy"] = json!("a\nb"),
    |s| s.fleet["channels"]["stable"]["rollout_policy"] = json!("a".repeat(129)),
    |s| s.fleet["hosts"]["web-01"]["public_key"] = json!(""),
    |s| s.fleet["revoked"] = json!([revocation("", "why")]),
    |s| s.fleet["revoked"] = json!([revocation("host/web-01", &"x".repeat(4097))]),
    |s| s.fleet["operators"] = json!({"alice": {"channels": ["nope"]}}),
    |s| s.fleet["enroll"] = json!({"mode": "strict"}),
    |s| s.fleet["channel_edges"][0]["reason"] = json!("x".repeat(4097)),
    |s| s.header["budgets"] = json!(vec![json!({"id": "etcd", "max_in_flight": 1}); 2]),
    |s| s.header["budgets"][0]["max_in_flight"] = json!(0),
    |s| s.header["policy"]["waves"][0]["soak_secs"] = json!(366 * 86400 + 1),
    |s| s.header["policy"]["max_infra_failures"] = json!({"percent": 101}),
    |s| s.header["policy"]["infra_retries"] = json!(101),
    |s| s.header["policy"]["max_dispatch_per_minute"] = json!(0),
    |s| s.header["policy"]["skip_offline_after_secs"] = json!(0),
    |s| s.hosts[0]["budgets"] = json!(["etcd", "etcd"]),
    |s| s.hosts[0]["after"] = json!(["web-02", "web-02"]),
    |s| s.hosts[0]["after"] = json!(["web-01"]),
    |s| s.hosts[0]["checks"] = sample::closure(1),
    |s| s.window(&json!({"tz":"UTC","days":["mon"],"start":"25:00","end":"04:00"})),
    |s| s.window(&json!({"tz":"UTC","days":["mon"],"start":"22:00","end":"4:00"})),
    |s| s.window(&json!({"tz":"UTC","days":["Monday"],"start":"22:00","end":"04:00"})),
    |s| s.window(&json!({"tz":"UTC","days":["mon","mon"],"start":"22:00","end":"04:00"})),
    |s| s.window(&json!({"tz":"UTC","days":[],"start":"22:00","end":"04:00"})),
    |s| s.window(&json!({"tz":"","days":["mon"],"start":"22:00","end":"04:00"})),
    |s| s.window(&json!({"tz":"../etc/passwd","days":["mon"],"start":"22:00","end":"04:00"})),
    |s| {
        let window = json!({"tz":"UTC","days":["mon"],"start":"22:00","end":"04:00"});
        s.header["policy"]["windows"] = json!(vec![window; 101]);
    },
    |s| s.header["budgets"] = json!([{"id":"etcd","max_in_flight":0}]),
    |s| s.header["budgets"] = json!([{"id":"a","max_in_flight":1},{"id":"a","max_in_flight":2}]),
    |s| s.hosts.reverse(),
    |s| s.hosts[1] = s.hosts[0].clone(),
    |s| s.hosts[0]["after"] = json!(["web-01"]),
    |s| s.hosts[0]["after"] = json!(["db-1", "db-1"]),
    |s| s.hosts[0]["checks"] = sample::closure(1),
    |s| s.hosts_suffix = b"{",
    |s| s.hosts_suffix = b"\n",
    |s| s.table_is_canonical = false,
];

fn broken(breaks: &[Break]) -> Sample {
    let mut sample = Sample::new();
    for apply in breaks {
        apply(&mut sample);
    }
    sample
}

#[test]
fn the_sample_itself_is_accepted_by_both_verifiers() {
    let sample = Sample::new();
    let release = sample.verify_release().unwrap();
    assert_eq!(release.signed_by(), [key(1).key_id()]);
    let plan = sample.verify_proof().unwrap();
    assert_eq!(plan.content_id, release.rollouts["stable"].content_id);
}

/// Every code is produced by a document broken in just that way, but those that need a memory.
#[test]
fn each_rule_has_a_release_that_breaks_only_it() {
    let mut seen = BTreeSet::from([RuleCode::RefConflict, RuleCode::RevocationMovedBack]);
    for (position, (code, apply)) in HEADER_RULES.iter().chain(RELEASE_RULES).enumerate() {
        if *code == RuleCode::HostMismatch && position < HEADER_RULES.len() {
            continue; // Who asks matters to the agent's verifier only.
        }
        let violation = broken(&[*apply]).verify_release().unwrap_err();
        assert_eq!(violation.code, *code, "case {position}: {violation}");
        seen.insert(*code);
    }
    assert!(RuleCode::ALL.iter().all(|code| seen.contains(code)), "{seen:?}");
}

#[test]
fn each_rule_of_the_agent_has_a_proof_that_breaks_only_it() {
    for (code, apply) in HEADER_RULES {
        let violation = broken(&[*apply]).verify_proof().unwrap_err();
        assert_eq!(violation.code, *code, "{violation}");
    }
}

/// With everything broken from some rule on, that rule speaks.
#[test]
fn rules_are_applied_in_their_order() {
    for (position, (code, _)) in HEADER_RULES.iter().enumerate() {
        let breaks: Vec<Break> = HEADER_RULES[position..].iter().map(|(_, b)| *b).collect();
        assert_eq!(broken(&breaks).verify_proof().unwrap_err().code, *code);
    }
    assert!(HEADER_RULES.is_sorted_by_key(|(code, _)| *code));
}

#[test]
fn numbers_and_lists_have_bounds() {
    for (position, apply) in MALFORMED.iter().enumerate() {
        let violation = broken(&[*apply]).verify_release().unwrap_err();
        assert_eq!(violation.code, RuleCode::BadJson, "case {position}: {violation}");
    }
}

/// S3: an older document is refused however fresh and well signed it is.
#[test]
fn s3_an_older_release_is_refused_and_the_same_one_is_not() {
    let at_floor = |serial, same: bool| {
        let mut sample = Sample::new();
        let known = sample.verify_release().unwrap().fleet_sha256;
        let other = Sha256Hash::of(b"another");
        let fleet_sha256 = Some(if same { known } else { other });
        sample.floor = SerialFloor { serial: Serial(serial), fleet_sha256 };
        let codes = [
            sample.verify_release().map(|_| ()).map_err(|v| v.code),
            sample.verify_proof().map(|_| ()).map_err(|v| v.code),
        ];
        assert_eq!(codes[0], codes[1]);
        codes[0]
    };
    assert_eq!(at_floor(41, false), Ok(()));
    assert_eq!(at_floor(42, true), Ok(()));
    assert_eq!(at_floor(42, false), Err(RuleCode::SerialConflict));
    assert_eq!(at_floor(43, true), Err(RuleCode::SerialRegressed));
}

/// S5: keys this build does not know are covered by signature, hash and leaf, and else ignored.
#[test]
fn s5_unknown_keys_are_covered_and_ignored() {
    let mut sample = Sample::new();
    sample.fleet["new"] = json!({"b": 1, "a": [null]});
    sample.fleet["hosts"]["web-01"]["new"] = json!("x");
    sample.header["new"] = json!(true);
    sample.header["policy"]["new"] = json!(1);
    sample.hosts[0]["new"] = json!(["x"]);
    sample.verify_release().unwrap();
    sample.verify_proof().unwrap();

    let mut proof = sample.proof();
    proof.entry["new"] = json!(["y"]);
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::MerkleMismatch);
    proof.entry.as_object_mut().unwrap().remove("new");
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::MerkleMismatch);
}

/// S6: a document cannot name its algorithm, nor a signature another key's.
#[test]
fn s6_an_artifact_cannot_choose_how_it_is_verified() {
    let mut sample = Sample::new();
    sample.header["algorithm"] = json!("none");
    sample.header_signers = vec![9];
    assert_eq!(sample.verify_proof().unwrap_err().code, RuleCode::SignatureThreshold);

    let sample = Sample::new();
    let mut proof = sample.proof();
    proof.signatures[0].signature = String::new();
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::SignatureThreshold);
    // A fleet document's signature does not count for a header.
    let mut proof = sample.proof();
    proof.signatures = sample.files().fleet_sig.signatures;
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::SignatureThreshold);
}

/// A11: the freshness window is the signed one, to the millisecond; history is not judged by it.
#[test]
fn a11_the_freshness_window_is_the_signed_one() {
    let judged = |window: u64, now: &str, freshness| {
        let mut sample = Sample::new();
        sample.header["freshness_window_secs"] = json!(window);
        sample.fleet["channels"]["stable"]["freshness_window_secs"] = json!(window);
        sample.fleet["channels"]["edge"]["freshness_window_secs"] = json!(window);
        sample.now = now.parse().unwrap();
        sample.freshness = freshness;
        let code = sample.verify_proof().map(|_| ()).map_err(|v| v.code);
        assert_eq!(sample.verify_release().map(|_| ()).map_err(|v| v.code), code);
        code
    };
    let enforced = Freshness::Enforced;
    assert_eq!(judged(60, "2026-11-21T09:01:00.000Z", enforced), Ok(()));
    assert_eq!(judged(60, "2026-11-21T09:01:00.001Z", enforced), Err(RuleCode::Stale));
    assert_eq!(judged(30 * 86400, "2026-12-21T09:00:00Z", enforced), Ok(()));
    assert_eq!(judged(60, "2026-11-21T08:59:00.000Z", enforced), Ok(()));
    assert_eq!(judged(60, "2026-11-21T08:58:59.999Z", enforced), Err(RuleCode::SignedInFuture));
    assert_eq!(judged(60, "2030-01-01T00:00:00Z", Freshness::Ignored), Ok(()));
    assert_eq!(judged(60, "2020-01-01T00:00:00Z", Freshness::Ignored), Ok(()));
}

#[test]
fn a_proof_of_another_host_or_another_leaf_is_refused() {
    let sample = Sample::new();
    let mut proof = sample.proof();
    proof.proof.index = 1;
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::MerkleMismatch);
    let mut proof = sample.proof();
    proof.entry["closure"] = sample::closure(9);
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::MerkleMismatch);
    let mut proof = sample.proof();
    proof.proof.path = vec![Sha256Hash::default(); 65];
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::MerkleMismatch);
    let mut proof = sample.proof();
    proof.header.push('!');
    assert_eq!(sample.verify(&proof).unwrap_err().code, RuleCode::BadJson);
}

#[test]
fn a_signed_entry_must_fit_its_header() {
    let cases: [(RuleCode, Break); 3] = [
        (RuleCode::MerkleMismatch, |s| s.hosts[0]["wave"] = json!(2)),
        (RuleCode::MerkleMismatch, |s| s.hosts[0]["budgets"] = json!(["nope"])),
        (RuleCode::EmptyWave, |s| s.header["policy"]["waves"] = json!([])),
    ];
    for (code, apply) in cases {
        assert_eq!(broken(&[apply]).verify_proof().unwrap_err().code, code);
        assert_eq!(broken(&[apply]).verify_release().unwrap_err().code, code);
    }
}

/// E14 and "same ref, other content": signing again keeps the content id, anything else changes it.
#[test]
fn the_content_id_ignores_only_what_signing_again_changes() {
    let header = Sample::new().sealed_header();
    let with = |edit: fn(&mut Value)| {
        let mut other = header.clone();
        edit(&mut other);
        content_id(&other)
    };
    let id = content_id(&header);
    assert_eq!(
        with(|h| {
            h["serial"] = json!(43);
            h["signed_at"] = json!("2026-12-01T00:00:00Z");
            h["fleet_sha256"] = json!(Sha256Hash::of(b"x"));
            h["freshness_window_secs"] = json!(1);
        }),
        id
    );
    for edit in [
        (|h| h["ref"] = json!("r43")) as fn(&mut Value),
        |h| h["channel"] = json!("edge"),
        |h| h["policy"]["waves"][0]["soak_secs"] = json!(1),
        |h| h["host_root"] = json!(Sha256Hash::of(b"x")),
        |h| h["host_count"] = json!(3),
        |h| h["budgets"] = json!([]),
        |h| h["new"] = json!(1),
    ] {
        assert_ne!(with(edit), id);
    }
}

/// What is verified is given on as it came: file by file, host by host.
#[test]
fn a_verified_release_gives_on_what_it_was_made_of() {
    let sample = Sample::new();
    let verified = sample.verify_release().unwrap();
    assert_eq!(verified.signed_by(), [key(1).key_id()]);
    assert_eq!(verified.get().fleet.serial, Serial(42));
    let release = verified.into_inner();
    assert_eq!(release.files(), sample.files());
    assert!(format!("{release:?}").starts_with("Release { serial: "));
    let files: BTreeMap<String, Vec<u8>> =
        release.named_files().map(|(name, bytes)| (name, bytes.into_owned())).collect();
    let given = sample.files();
    let rollout = &given.rollouts[0];
    let expected = BTreeMap::from([
        ("fleet.json".to_owned(), given.fleet.clone()),
        ("fleet.json.sig".to_owned(), given.fleet_sig.to_bytes()),
        ("rollouts/stable@r42.hosts.jsonl".to_owned(), rollout.hosts.clone()),
        ("rollouts/stable@r42.json".to_owned(), rollout.header.clone()),
        ("rollouts/stable@r42.json.sig".to_owned(), rollout.sig.to_bytes()),
    ]);
    assert_eq!(files, expected);
    let closures = sample.hosts.iter().map(|host| host["closure"].clone());
    let blobs: Vec<Value> = release.blobs().into_iter().map(|blob| json!(blob)).collect();
    assert!(closures.clone().all(|closure| blobs.contains(&closure)));
    assert_eq!(blobs.len(), closures.count());
    let part = release.rollouts.values().next().unwrap();
    for (host, entry) in ["web-01", "web-02"].into_iter().zip(&part.hosts) {
        let name = host.parse().unwrap();
        assert_eq!(part.entry(&name), Some(entry));
        assert_eq!(part.proof(&name).unwrap().entry["host"], host);
    }
    let nobody = "web-03".parse().unwrap();
    assert_eq!((part.entry(&nobody), part.proof(&nobody)), (None, None));
}
