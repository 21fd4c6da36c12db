//! What a control plane in an attacker's hands tries, one line a case, and what the host says to it.
//!
//! Not here: the host that meets it (see `taken_over`).

use serde_json::{Value, json};
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::{BlobId, CpEpoch, Sha256Hash, WaveIndex};
use wavegate_proto::record::{Failure, HostRecord, HostState, Rollback};
use wavegate_proto::signing::{ArtifactType, PrivateKey};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::agent::{Dispatch, HeartbeatAnswer, Marks};

use super::happy::bundle;
use super::lies::Lie;
use super::release::{Release, Signed, release_key};

/// Makes a lie.
type Makes = fn() -> Lie;

/// Changes an answer to a heartbeat of a host that runs this release.
type Changes = fn(&mut HeartbeatAnswer, &Signed);

/// What is wrong with an offer.
pub(crate) enum Wrong {
    Release(fn(&mut Release)),
    Header(fn(&mut Value)),
    Signed(fn(&mut Signed)),
    Dispatch(fn(&mut Dispatch)),
    Answer(fn() -> Lie),
}

/// Offers that the host refuses, and the reasons it gives.
pub(crate) const REFUSED: &[(&str, Wrong, &str)] = &[
    ("another release with the serial", Wrong::Release(|r| r.serial = SERIAL), "serial-conflict"),
    ("an older serial", Wrong::Release(|r| r.serial = SERIAL - 1), "serial-regressed"),
    ("a stale release", Wrong::Release(|r| r.signed_at = hours_from_now(-25)), "stale"),
    ("one of tomorrow", Wrong::Release(|r| r.signed_at = hours_from_now(24)), "signed-in-future"),
    ("another host's entry", Wrong::Release(|r| r.host = "host-02".into()), "host-mismatch"),
    (
        "other content for a known ref",
        Wrong::Release(|r| r.reference = "good".into()),
        "ref-conflict",
    ),
    ("a closure that failed here", Wrong::Release(|r| r.bundle = bad()), "quarantined-here"),
    ("another fleet's release", Wrong::Header(|h| h["fleet"] = json!("other")), "wrong-fleet"),
    ("a newer schema", Wrong::Header(|h| h["schema_version"] = json!(99)), "unsupported-schema"),
    ("a release without hosts", Wrong::Header(|h| h["host_count"] = json!(0)), "merkle-mismatch"),
    ("a wave that there is not", Wrong::Header(|h| h["policy"]["waves"] = json!([])), "empty-wave"),
    (
        "a header that is too large",
        Wrong::Header(|h| h["x"] = json!("x".repeat(300_000))),
        "too-large",
    ),
    (
        "a key of nobody's",
        Wrong::Signed(|s| s.sign_again(&PrivateKey::from_seed([8; 32]), ArtifactType::Rollout)),
        "signature-threshold",
    ),
    (
        "a signature for something else",
        Wrong::Signed(|s| s.sign_again(&release_key(), ArtifactType::Fleet)),
        "signature-threshold",
    ),
    ("no signature", Wrong::Signed(|s| s.proof.signatures.clear()), "signature-threshold"),
    ("a changed header", Wrong::Signed(|s| s.proof.header.replace_range(0..4, "eyAi")), "bad-json"),
    (
        "an entry with another closure",
        Wrong::Signed(|s| s.proof.entry["closure"] = json!(format!("sha256:{}", "0".repeat(64)))),
        "merkle-mismatch",
    ),
    (
        "an entry of another wave",
        Wrong::Signed(|s| s.proof.entry["wave"] = json!(1)),
        "merkle-mismatch",
    ),
    ("a proof of another place", Wrong::Signed(|s| s.proof.proof.index = 1), "merkle-mismatch"),
    (
        "a longer proof",
        Wrong::Signed(|s| s.proof.proof.path.push(Sha256Hash::of(b"x"))),
        "merkle-mismatch",
    ),
    (
        "an endless proof",
        Wrong::Signed(|s| s.proof.proof.path = vec![Sha256Hash::of(b"x"); 7000]),
        "merkle-mismatch",
    ),
    (
        "another rollout's plan",
        Wrong::Signed(|s| s.rollout_id = "stable@elsewhere".parse().unwrap()),
        "not-dispatched-closure",
    ),
    (
        "another closure than signed",
        Wrong::Dispatch(|d| {
            d.target_closure = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
        }),
        "not-dispatched-closure",
    ),
    ("another wave than signed", Wrong::Dispatch(|d| d.wave = WaveIndex(1)), "wrong-wave"),
    (
        "another channel than signed",
        Wrong::Dispatch(|d| d.channel = "edge".parse().unwrap()),
        "not-dispatched-closure",
    ),
    ("no change where there is one", Wrong::Dispatch(|d| d.no_change = true), "not-unchanged"),
    ("an endless answer", Wrong::Answer(|| Lie::Endless), "too-large"),
    ("garbage", Wrong::Answer(|| Lie::Bytes(vec![0xff; 100])), "bad-json"),
    ("deep JSON", Wrong::Answer(|| Lie::Bytes(deep(33))), "bad-json"),
    ("very deep JSON", Wrong::Answer(|| Lie::Bytes(deep(200_000))), "bad-json"),
    ("nothing", Wrong::Answer(|| Lie::Bytes(Vec::new())), "bad-json"),
];

/// What is sent instead of the bytes of a closure or an asset, and what the host writes into its log.
pub(crate) const NOT_FETCHED: &[(&str, &str, Makes, &str)] = &[
    ("other bytes", "blob", || Lie::Bytes(b"{}".to_vec()), "they have another hash"),
    ("an endless closure", "blob", || Lie::Endless, "more than 4194304 bytes"),
    ("a closure in drops", "blob", || Lie::Drip, "it took too long"),
    ("a closure elsewhere", "blob", || Lie::Redirect("http://127.0.0.1:9/x"), "status 307"),
    (
        "fewer bytes than announced",
        "blob",
        || Lie::Length(1000, b"{}".to_vec()),
        "reach the control plane",
    ),
    (
        "more bytes than announced",
        "blob",
        || Lie::Length(1, vec![b' '; 4096]),
        "reach the control plane",
    ),
    ("endless headers", "blob", || Lie::Headers(512 * 1024), "reach the control plane"),
    ("another asset", "asset", || Lie::Bytes(vec![b'y'; 5]), "has hash"),
    ("an endless asset", "asset", || Lie::Endless, "more than 5 bytes"),
    ("an asset elsewhere", "asset", || Lie::Redirect("/v1/agent/dispatch"), "status 307"),
];

/// What is sent instead of an answer to a heartbeat, and what the host writes into its log.
pub(crate) const NO_HEARTBEAT: &[(&str, Makes, &str)] = &[
    ("garbage", || Lie::Bytes(b"<html>".to_vec()), "expected value"),
    ("deep JSON", || Lie::Bytes(deep(64)), "nests deeper"),
    ("an endless answer", || Lie::Endless, "more than 1048576 bytes"),
    ("a false length", || Lie::Length(1000, b"{}".to_vec()), "reach the control plane"),
    ("go elsewhere", || Lie::Redirect("https://127.0.0.1:9/"), "status 307"),
    ("you are nobody", || Lie::Status(401), "status 401"),
    ("you are gone", || Lie::Status(410), "status 410"),
];

/// What is changed in every answer to a heartbeat, and goes without effect.
pub(crate) const ANSWERS: &[(&str, Changes)] = &[
    ("you failed, go back to that", |answer, good| answer.bootstrap = evil_snapshots(good)),
    ("a thousand rollouts", |answer, good| answer.bootstrap = many_snapshots(good)),
    ("open a new journal", |answer, good| answer.new_journal = vec![good.rollout_id.clone(); 300]),
    ("a new database each time", |answer, _| answer.cp_epoch = CpEpoch(uuid::Uuid::new_v4())),
    ("marks without an end", |answer, _| answer.marks = Some(marks(100 * 1024))),
    ("marks that are none", |answer, _| answer.marks = Some(marks(10))),
    ("your clock is wrong", |answer, _| answer.now = Timestamp::default()),
    ("as often as you can", |answer, _| answer.next_heartbeat_secs = 0),
];

/// What is answered to the events that ask for permission to start.
pub(crate) const NOT_PERMITTED: &[(&str, Makes)] = &[
    ("garbage", || Lie::Bytes(b"yes".to_vec())),
    ("an endless answer", || Lie::Endless),
    ("taken, but nothing of it", || Lie::Bytes(br#"{"last_seq":0}"#.to_vec())),
    ("refused, something else", || {
        problem(422, "event-refused", json!({"seq": 99, "last_seq": 99, "reason": "x"}))
    }),
    ("refused", || problem(422, "event-refused", json!({"seq": 1, "last_seq": 1, "reason": "x"}))),
    ("send from the far end", || {
        problem(409, "seq-gap", json!({"expected_seq": 9_007_199_254_740_991_u64}))
    }),
    ("another journal, please", || problem(409, "journal-replaced", json!({}))),
    ("go elsewhere", || Lie::Redirect("/v1/agent/events")),
];

/// The serial of what the host runs.
pub(crate) const SERIAL: u64 = 10;

fn hours_from_now(hours: i64) -> Timestamp {
    let now = wavegate_agent::clock::wall().unix_millis();
    Timestamp::from_unix_millis(now + hours * 3_600_000)
}

/// A bundle that never becomes healthy.
pub(crate) fn bad() -> Value {
    bundle("bad", "something else")
}

fn deep(depth: usize) -> Vec<u8> {
    format!("{{\"header\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
}

fn marks(bytes: usize) -> Marks {
    let content = serde_json::Map::from_iter([("x".to_owned(), json!("x".repeat(bytes)))]);
    Marks { version: u64::MAX, content }
}

fn problem(status: u16, code: &str, mut members: Value) -> Lie {
    members["type"] = json!(format!("urn:wavegate:problem:{code}"));
    members["title"] = json!("x");
    members["status"] = json!(status);
    members["detail"] = json!("x");
    Lie::Problem(members)
}

fn evil_snapshots(good: &Signed) -> Vec<HostRecord> {
    let evil = Release::new(1, bundle("evil", "evil")).sign();
    let mut known = good.pending_record();
    known.state = HostState::Failed;
    known.prior_closure = Some(evil.closure);
    known.failure = Some(Failure {
        class: FailureClass::Artifact,
        reason: "says the control plane".to_owned(),
        rollback: Rollback::Running,
        changed: true,
    });
    let mut unknown = known.clone();
    unknown.rollout_id = "stable@unknown".parse().unwrap();
    vec![known, unknown]
}

fn many_snapshots(good: &Signed) -> Vec<HostRecord> {
    let numbered = |number: u32| {
        let mut record = evil_snapshots(good).remove(0);
        record.rollout_id = format!("stable@n{number}").parse().unwrap();
        record
    };
    (0..500).map(numbered).collect()
}

/// A bundle with an asset, another one for each number.
pub(crate) fn with_asset(number: usize) -> Value {
    let mut bundle = bundle(&format!("new {number}"), "new");
    let mut file = bundle["resources"][0].clone();
    file["id"] = json!("blob");
    file["path"] = json!("/etc/blob");
    file["asset"] = json!(BlobId::of(b"asset").to_string());
    file["size"] = json!(5);
    file.as_object_mut().unwrap().remove("content");
    bundle["resources"].as_array_mut().unwrap().push(file);
    bundle
}
