//! Releases that break a rule: refused whole, by the control plane and by the operator's own tool.

use std::fs;

use wavegate_proto::time::Timestamp;

use crate::yard::Yard;

/// Publishes release `number` and expects the control plane to refuse it with `code`, and nothing else
/// to happen.
#[track_caller]
fn refused(yard: &Yard, number: u64, code: &str) {
    let before = yard.picture();
    let folder = format!("releases/{number}");
    yard.refused(&["release", "publish", &folder], 1, &format!("[{code}]"));
    assert_eq!(yard.picture(), before, "{code} left something behind");
}

/// Changes the text of a file of a release.
fn tamper(yard: &Yard, file: &str, from: &str, to: &str) {
    let path = yard.path(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_release_that_breaks_a_rule_is_refused_whole_and_the_fleet_stays_as_it_is() {
    let (yard, _agents) = Yard::with_release();
    yard.say("again");
    yard.release(3, &["--ref", "stable=r3"]);
    yard.ok(&["release", "publish", "releases/3"]);
    yard.until_rollout("stable@r3", "terminal");
    assert_eq!(yard.file("host-02").as_deref(), Some("hello again\n"));

    // An older serial.
    refused(&yard, 1, "serial-regressed");

    // A signature of a key that nobody trusts.
    yard.say("stranger");
    let build = ["release", "build", "fleet.toml", "--serial", "4", "--out", "releases/4"];
    yard.ok(&build);
    yard.ok(&["key", "new", "--out", "stranger.key"]);
    yard.ok(&["release", "sign", "releases/4", "--key", "stranger.key"]);
    refused(&yard, 4, "signature-threshold");
    let verify = ["release", "verify", "releases/4", "--trust", "trust.json"];
    yard.refused(&verify, 1, "signature-threshold");

    // A header that was changed after it was signed.
    yard.release(5, &[]);
    tamper(&yard, "releases/5/rollouts/stable@r5.json", "\"soak_secs\":1", "\"soak_secs\":0");
    refused(&yard, 5, "signature-threshold");

    // A hosts table that does not lead to the signed root.
    yard.release(6, &[]);
    tamper(&yard, "releases/6/rollouts/stable@r6.hosts.jsonl", "\"wave\":1", "\"wave\":0");
    refused(&yard, 6, "merkle-mismatch");

    // Signed the day before yesterday, good for a day.
    let now = wavegate_control_plane::clock::wall().unix_millis();
    let signed_at = Timestamp::from_unix_millis(now - 2 * 86_400_000).to_string();
    yard.release(7, &["--signed-at", &signed_at]);
    refused(&yard, 7, "stale");

    // A ref that is known with other content, also of a rollout that has passed.
    yard.release(8, &["--ref", "stable=r3"]);
    refused(&yard, 8, "ref-conflict");
    yard.release(9, &["--ref", "stable=r1"]);
    refused(&yard, 9, "ref-conflict");

    // No JSON.
    yard.release(10, &[]);
    fs::write(yard.path("releases/10/fleet.json"), "{\"schema_version\":1,").unwrap();
    refused(&yard, 10, "bad-json");

    // After all that the fleet takes a good one.
    yard.say("at last");
    yard.release(11, &[]);
    yard.ok(&["release", "publish", "releases/11"]);
    yard.until_rollout("stable@r11", "terminal");
    assert_eq!(yard.file("host-01").as_deref(), Some("hello at last\n"));
}

#[test]
fn a_release_whose_closure_is_missing_is_not_adopted_until_it_is_there() {
    let (yard, _agents) = Yard::with_release();
    yard.say("with a hole");
    yard.release(2, &[]);
    let before = yard.picture();
    let closures = yard.path("releases/2/closures");
    fs::rename(&closures, yard.path("hidden")).unwrap();
    yard.refused(&["release", "verify", "releases/2", "--trust", "trust.json"], 1, "missing blob");
    yard.refused(&["release", "publish", "releases/2"], 1, "sha256:");
    assert_eq!(yard.picture(), before);

    // Other content under the right name does not help.
    fs::create_dir(&closures).unwrap();
    let closure = fs::read_dir(yard.path("hidden")).unwrap().next().unwrap().unwrap();
    fs::write(closures.join(closure.file_name()), "{}").unwrap();
    yard.refused(&["release", "publish", "releases/2"], 1, "[hash-mismatch]");
    assert_eq!(yard.picture(), before);

    fs::copy(closure.path(), closures.join(closure.file_name())).unwrap();
    yard.ok(&["release", "publish", "releases/2"]);
    yard.until_rollout("stable@r2", "terminal");
}

#[test]
fn an_unknown_channel_is_refused_where_it_is_written_and_where_it_is_asked_for() {
    let yard = Yard::open();
    tamper(&yard, "fleet.toml", "channel = \"stable\"", "channel = \"stabel\"");
    let build = ["release", "build", "fleet.toml", "--out", "releases/1"];
    yard.refused(&build, 2, "stabel");
    assert!(!yard.path("releases/1").exists(), "nothing half-built");
    yard.refused(&["rollout", "show", "stabel@r1"], 1, "[unknown-rollout]");
    yard.refused(&["rollout", "hosts", "stabel@r1"], 1, "[unknown-rollout]");
}
