//! The next certificate: of hosts, and of the control plane itself.

use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use reqwest::Response;
use serde_json::json;
use wavegate_control_plane::clock::wall;
use wavegate_control_plane::server::identity::Caller;
use wavegate_control_plane::workers::release::rebuild::rebuild_state;

use crate::enroll::{claims, csr, issued};
use crate::fleet::{Authority, Certificate, Plan};
use crate::running::{TestPlane, client, heartbeat, problem, write_files};

const HOUR: Duration = Duration::from_secs(3600);

impl TestPlane {
    /// What a host with `key` answers for a certificate that ended `ago`.
    async fn renew_expired(&self, of: &Authority, subject: &str, ago: Duration) -> Response {
        let key = KeyPair::generate().unwrap();
        self.renew_expired_by(of, subject, ago, &key, &key).await
    }

    async fn renew_expired_by(
        &self,
        of: &Authority,
        subject: &str,
        ago: Duration,
        key: &KeyPair,
        asking: &KeyPair,
    ) -> Response {
        let (now, uri) = (SystemTime::now(), format!("spiffe://demo/{subject}"));
        let expired = of.issue_for(&[&uri], now - ago - HOUR, now - ago, key);
        let body = json!({ "expired_chain_pem": expired.chain, "csr_pem": csr(asking) });
        self.post_enroll(&body).await
    }
}

fn host(name: &str) -> Caller {
    Caller::Host(name.parse().unwrap())
}

/// S1: the name of the next certificate is that of the one before, whatever the request asks for.
#[tokio::test]
async fn s1_renewal_takes_the_name_of_the_certificate() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let key = KeyPair::generate().unwrap();
    let renew = json!({ "csr_pem": csr(&key), "host": "host-02", "name": "host-02" });
    let first = plane.client("host/host-01");
    let answer = plane.send(&first, "POST", "/v1/agent/renew", &renew).await;
    let (answer, caller) = issued(answer).await;
    assert_eq!(caller, host("host-01"));
    // The next one is used like the first.
    let next = Certificate { chain: answer.chain_pem, key: key.serialize_pem() };
    let next = client(&plane.fleet.authority, Some(&next));
    let beat = plane.send(&next, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
    assert_eq!(beat.status(), 200);
    // Each is a row of the log: not as many as a host likes.
    let again = plane.send(&first, "POST", "/v1/agent/renew", &renew).await;
    assert_eq!(problem(again).await, "rate-limited");
    for subject in ["operator/alice", "viewer/bob"] {
        let refused = plane.send(&plane.client(subject), "POST", "/v1/agent/renew", &renew).await;
        assert_eq!(problem(refused).await, "role-forbidden");
    }
    let stranger = plane.client("host/stranger");
    let refused = plane.send(&stranger, "POST", "/v1/agent/renew", &renew).await;
    assert_eq!(problem(refused).await, "host-not-in-fleet");
}

#[tokio::test]
async fn a_revoked_certificate_is_not_renewed() {
    let not_before = wall();
    let revoked = json!([{ "subject": "host/host-01", "not_before": not_before, "reason": null }]);
    let plane = TestPlane::issuing(&Plan { revoked, ..Plan::new(1, "r1") }).await;
    let renew = json!({ "csr_pem": csr(&KeyPair::generate().unwrap()) });
    let refused =
        plane.send(&plane.client("host/host-01"), "POST", "/v1/agent/renew", &renew).await;
    assert_eq!(problem(refused).await, "certificate-revoked");
    let own = &plane.fleet.authority;
    let refused = plane.renew_expired(own, "host/host-01", Duration::from_secs(60)).await;
    assert_eq!(problem(refused).await, "certificate-revoked");
}

#[tokio::test]
async fn a_certificate_that_expired_within_the_grace_is_renewed_by_its_key_alone() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let (own, minute) = (&plane.fleet.authority, Duration::from_secs(60));
    let (_, caller) = issued(plane.renew_expired(own, "host/host-01", minute).await).await;
    assert_eq!(caller, host("host-01"));
    let late = plane.renew_expired(own, "host/host-01", HOUR + minute).await;
    assert_eq!(problem(late).await, "renewal-refused");
    let foreign = plane.renew_expired(&Authority::new(), "host/host-01", minute).await;
    assert_eq!(problem(foreign).await, "renewal-refused");
    let operator = plane.renew_expired(own, "operator/alice", minute).await;
    assert_eq!(problem(operator).await, "renewal-refused");
    let (key, thief) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let stolen = plane.renew_expired_by(own, "host/host-01", minute, &key, &thief).await;
    assert_eq!(problem(stolen).await, "key-mismatch");
}

/// Connections that are open go on, new ones get the new certificate and the new roots.
#[tokio::test]
async fn the_control_plane_takes_up_its_new_certificate_and_roots_while_it_runs() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let open = plane.client("operator/alice");
    plane.get(&open, "/v1/status").await;
    let before = plane.get_metric("control-plane").await;

    // Half a file changes nothing.
    std::fs::write(plane.dir.path().join("cp.pem"), "-----BEGIN CERT").unwrap();
    plane.running.look_again();
    plane.get(&plane.client("operator/alice"), "/v1/status").await;

    let day = SystemTime::now() + Duration::from_secs(86_400);
    let key = KeyPair::generate().unwrap();
    let next = plane.fleet.authority.issue_for(&[], SystemTime::now() - HOUR, day, &key);
    std::fs::write(plane.dir.path().join("cp.key"), next.key).unwrap();
    std::fs::write(plane.dir.path().join("cp.pem"), next.chain).unwrap();
    plane.running.look_again();
    plane
        .until("the new certificate is in use", async || {
            plane.get_metric("control-plane").await < before
        })
        .await;
    plane.get(&open, "/v1/status").await;
    plane.get(&plane.client("operator/alice"), "/v1/status").await;
    write_files(plane.dir.path(), &plane.fleet);
}

impl TestPlane {
    async fn get_metric(&self, kind: &str) -> f64 {
        let text = reqwest::get(self.status_url("/metrics")).await.unwrap().text().await.unwrap();
        let series = format!("wavegate_certificate_expires_seconds{{subject_kind=\"{kind}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("no {series}\n{text}")).parse().unwrap()
    }
}

#[tokio::test]
async fn enrollments_and_renewals_are_folded_again_from_the_log() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let key = KeyPair::generate().unwrap();
    issued(plane.enroll(&claims("t-1", Some("host-01")), &key).await).await;
    let renew = json!({ "csr_pem": csr(&key) });
    issued(plane.send(&plane.client("host/host-01"), "POST", "/v1/agent/renew", &renew).await)
        .await;
    let TestPlane { dir, running, .. } = plane;
    running.stop().await.unwrap();
    let report = rebuild_state(&dir.path().join("state"), &dir.path().join("again.db")).unwrap();
    assert!(report.clean, "{}", report.text);
    assert!(report.text.contains("enrollments: 1 rows, the same"), "{}", report.text);
}
