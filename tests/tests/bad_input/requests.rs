//! Requests that are wrong, and certificates that are not what they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use reqwest::{Certificate, Client, Identity, Response};
use serde_json::{Value, json};
use wavegate_tests::processes::program::Process;

use crate::yard::{Yard, refusal};

/// A client with the certificate of that name.
pub(crate) fn client(yard: &Yard, certificate: &str) -> Client {
    // Another test of this process may have been first.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let read = |name: &str| fs::read(yard.path(name)).unwrap();
    let identity =
        [read(&format!("certs/{certificate}.pem")), read(&format!("certs/{certificate}.key"))];
    let authority = Certificate::from_pem(&read("ca/ca.pem")).unwrap();
    Client::builder()
        .tls_certs_only([authority])
        .identity(Identity::from_pem(&identity.concat()).unwrap())
        .build()
        .unwrap()
}

/// Status and code of a refusal.
pub(crate) async fn refusal_of(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    let kind = problem["type"].as_str().unwrap().to_owned();
    (status, kind.strip_prefix("urn:wavegate:problem:").unwrap().to_owned())
}

pub(crate) fn answer(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_no_json_or_speak_for_another_host_change_nothing() {
    let (yard, _agents) = Yard::with_release();
    let before = yard.picture();
    let host = client(&yard, "host-host-02");
    let post = async |path: &str, body: Vec<u8>| {
        let request = host.post(format!("{}{path}", yard.url)).body(body);
        refusal_of(request.header("content-type", "application/json").send().await.unwrap()).await
    };
    for path in ["/v1/agent/heartbeat", "/v1/agent/events"] {
        assert_eq!(post(path, b"{\"boot_id\":".to_vec()).await, answer(400, "bad-json"));
        let large = vec![b' '; 1024 * 1024 + 1];
        assert_eq!(post(path, large).await, answer(413, "too-large"), "{path}");
    }
    let events = json!({
        "rollout_id": "stable@r9", "journal_id": "0b0fd8a2-7f0c-4f9e-9c39-0d5d1a2b3c4d",
        "replay": false, "events": [],
    });
    let unknown = post("/v1/agent/events", events.to_string().into_bytes()).await;
    assert_eq!(unknown, answer(404, "unknown-rollout"));

    // What belongs to host-01, by the certificate of host-02.
    let first = client(&yard, "host-host-01");
    let path = format!("{}/v1/agent/rollouts/stable@r1", yard.url);
    let mut proof: Value = first.get(path).send().await.unwrap().json().await.unwrap();
    assert_eq!(proof["entry"]["host"], "host-01");
    let offer = "/v1/agent/rollouts";
    let offered = post(offer, proof.to_string().into_bytes()).await;
    assert_eq!(offered, answer(403, "not-your-host"));

    // Its own, with a proof that leads elsewhere, and with another closure in the entry.
    let path = format!("{}/v1/agent/rollouts/stable@r1", yard.url);
    proof = host.get(path).send().await.unwrap().json().await.unwrap();
    let mut wrong = proof.clone();
    wrong["proof"]["index"] = json!(0);
    let offered = post(offer, wrong.to_string().into_bytes()).await;
    assert_eq!(offered, answer(422, "merkle-mismatch"));
    let mut evil = proof.clone();
    evil["entry"]["closure"] = json!(format!("sha256:{}", "e".repeat(64)));
    let offered = post(offer, evil.to_string().into_bytes()).await;
    assert_eq!(offered, answer(422, "merkle-mismatch"));
    let evil = format!("{}/v1/closures/sha256:{}", yard.url, "e".repeat(64));
    let fetched = refusal_of(host.get(evil).send().await.unwrap()).await;
    assert_eq!(fetched, answer(403, "role-forbidden"));
    assert_eq!(yard.picture(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_posted_without_its_blobs_names_them() {
    let (yard, _agents) = Yard::with_release();
    yard.say("more");
    yard.release(2, &[]);
    let before = yard.picture();
    let read = |name: &str| fs::read(yard.path(&format!("releases/2/{name}"))).unwrap();
    let sig = |name: &str| serde_json::from_slice::<Value>(&read(name)).unwrap();
    let hosts = wavegate_proto::ids::BlobId::of(&read("rollouts/stable@r2.hosts.jsonl"));
    let base64 = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let body = json!({
        "fleet": base64(&read("fleet.json")), "fleet_sig": sig("fleet.json.sig"),
        "rollouts": [{
            "header": base64(&read("rollouts/stable@r2.json")),
            "sig": sig("rollouts/stable@r2.json.sig"), "hosts_sha256": hosts,
        }],
    });
    let request = client(&yard, "operator-admin").post(format!("{}/v1/releases", yard.url));
    let refused: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["type"], "urn:wavegate:problem:missing-blobs");
    assert_eq!(refused["missing"], json!([hosts]));
    assert_eq!(yard.picture(), before);
    // A viewer and a host may not even ask.
    for certificate in ["viewer-read", "host-host-01"] {
        let publish = yard.wavegate_as(certificate, &["release", "publish", "releases/2"]);
        refusal(&publish, 1, "[role-forbidden]");
    }
    assert_eq!(yard.picture(), before);
}

/// Issues a certificate with this SPIFFE URI by the fleet's own authority.
fn issue(yard: &Yard, uri: &str, name: &str) {
    let read = |name: &str| fs::read_to_string(yard.path(name)).unwrap();
    let authority = KeyPair::from_pem(&read("ca/ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca/ca.pem"), authority).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    fs::write(yard.path(&format!("certs/{name}.pem")), certificate.pem()).unwrap();
    let path = yard.path(&format!("certs/{name}.key"));
    fs::write(&path, key.serialize_pem()).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn certificates_of_unknown_roles_other_fleets_and_other_authorities_get_nowhere() {
    let (yard, _agents) = Yard::with_release();
    let before = yard.picture();
    for (uri, name) in [
        ("spiffe://demo/admin/alice", "unknown-role"),
        ("spiffe://other/operator/alice", "other-fleet"),
        ("https://demo/operator/alice", "no-role"),
    ] {
        issue(&yard, uri, name);
        refusal(&yard.wavegate_as(name, &["status"]), 1, "[role-forbidden]");
    }

    // The same names by an authority of their own.
    yard.ok(&["ca", "init", "other-ca", "--fleet", "demo"]);
    let place = ["--ca", "other-ca", "--out", "certs-other"];
    yard.ok(&[&["ca", "issue", "operator", "mallory"][..], &place].concat());
    yard.ok(&[&["ca", "issue", "host", "host-01"][..], &place].concat());
    for suffix in ["pem", "key"] {
        for name in ["operator-mallory", "host-host-01"] {
            let from = yard.path(&format!("certs-other/{name}.{suffix}"));
            fs::copy(from, yard.path(&format!("certs/other-{name}.{suffix}"))).unwrap();
        }
    }
    refusal(&yard.wavegate_as("other-operator-mallory", &["status"]), 3, "cannot reach");

    // And an agent that trusts another authority than the control plane's does not speak to it.
    let mut agent = yard.agent_of("host-02", "state/elsewhere", "other-ca/ca.pem");
    let _agent = Process::start("an agent of another authority", &mut agent);
    let says_so = || yard.log("host-02").contains("heartbeat not taken");
    yard.until("the agent says that it has no control plane", says_so);
    assert_eq!(yard.picture(), before);
}
