//! Evidence: what speaks for a host and what does not.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_agent::clock;
use wavegate_agent::probes::{CheckResult, CheckRunner as _, LocalChecks, RootExec};
use wavegate_proto::canonical::canonical_bytes;
use wavegate_proto::signing::{ArtifactType, PrivateKey};

use crate::{passes, reason};

fn collector() -> PrivateKey {
    PrivateKey::from_seed([3; 32])
}

fn control(name: &str, status: &str, mode: &str) -> Value {
    json!({
        "control": name, "status": status, "framework": "cis", "article": "1.1",
        "effective_mode": mode, "override_reason": null,
    })
}

fn report(age_secs: i64, controls: Value) -> Value {
    let at = clock::wall().unix_millis() - age_secs * 1000;
    let at = wavegate_proto::time::Timestamp::from_unix_millis(at);
    json!({ "schema_version": 1, "collected_at": at, "controls": controls })
}

fn sign(key: &PrivateKey, artifact: ArtifactType, evidence: &Value) -> Value {
    let signature = key.sign(artifact, &canonical_bytes(evidence));
    json!({ "evidence": evidence, "signature": signature })
}

fn write(root: &Path, document: &Value) {
    std::fs::write(root.join("report.json"), document.to_string()).unwrap();
}

async fn ask(root: &Path, controls: Value) -> CheckResult {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let check = json!({
        "kind": "evidence", "path": "/report.json", "max_age_secs": 3600,
        "public_key": collector().public_key().to_string(), "controls": controls,
    });
    let check = serde_json::from_value(check).unwrap();
    let checks = LocalChecks::new(root.to_owned(), RootExec::Refused).unwrap();
    checks.run(&check, Duration::from_secs(20)).await
}

#[tokio::test]
async fn a_fresh_signed_report_whose_controls_pass_is_evidence_and_names_each_control() {
    let root = tempfile::tempdir().unwrap();
    let controls =
        json!([control("ssh-root", "pass", "enforce"), control("banner", "fail", "observe")]);
    write(root.path(), &sign(&collector(), ArtifactType::Evidence, &report(60, controls)));
    let result = ask(root.path(), json!(["ssh-root"])).await;
    assert!(passes(&result), "{result:?}");
    let names: Vec<&str> = result.sub_results.iter().map(|s| s.control.as_str()).collect();
    assert_eq!(names, ["ssh-root", "banner"]);
    assert!(passes(&ask(root.path(), json!([])).await), "observed controls do not count");
}

#[tokio::test]
async fn a_control_that_fails_or_is_missing_is_named() {
    let root = tempfile::tempdir().unwrap();
    let controls = json!([control("a", "fail", "enforce"), control("b", "pass", "enforce")]);
    write(root.path(), &sign(&collector(), ArtifactType::Evidence, &report(0, controls)));
    let result = ask(root.path(), json!([])).await;
    assert_eq!(reason(&result), "a is fail");
    assert_eq!(result.sub_results.len(), 2);
    let result = ask(root.path(), json!(["b", "c"])).await;
    assert_eq!(reason(&result), "c is missing");
}

#[tokio::test]
async fn what_is_old_unsigned_or_signed_by_or_for_others_is_no_evidence() {
    let root = tempfile::tempdir().unwrap();
    let good = report(0, json!([control("a", "pass", "enforce")]));
    let mut tampered = sign(&collector(), ArtifactType::Evidence, &good);
    tampered["evidence"]["controls"][0]["status"] = json!("passed");
    let evidence = ArtifactType::Evidence;
    let cases = [
        (sign(&collector(), evidence, &report(3700, json!([]))), "s old, 3600 s are allowed"),
        (sign(&collector(), evidence, &report(-120, json!([]))), "in the future"),
        (sign(&PrivateKey::from_seed([4; 32]), evidence, &good), "not signed by the collector"),
        (sign(&collector(), ArtifactType::Trust, &good), "not signed by the collector"),
        (tampered, "not signed by the collector"),
        (json!({ "evidence": good }), "cannot be read"),
        (json!(["x".repeat(300_000)]), "above 262144 bytes"),
    ];
    for (document, complaint) in cases {
        write(root.path(), &document);
        let result = ask(root.path(), json!([])).await;
        assert!(reason(&result).contains(complaint), "{complaint}: {result:?}");
        assert!(result.sub_results.is_empty());
    }
    std::fs::remove_file(root.path().join("report.json")).unwrap();
    assert!(!passes(&ask(root.path(), json!([])).await), "no report");
}
