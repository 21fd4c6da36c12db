//! Joining the fleet by a token.

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType};
use reqwest::Response;
use serde_json::{Value, json};
use wavegate_control_plane::clock::wall;
use wavegate_control_plane::server::identity::{Caller, read_identity};
use wavegate_proto::enroll::claims::Confirmation;
use wavegate_proto::enroll::{Claims, HostKey, mint};
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::enroll::CertificateAnswer;
use x509_parser::pem::parse_x509_pem;

use crate::fleet::{Certificate, Plan};
use crate::running::{TestPlane, client, heartbeat, problem};

/// A request that is signed by `key`, and asks for more than it should get.
pub(crate) fn csr(key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.subject_alt_names = ["spiffe://demo/operator/mallory", "spiffe://demo/host/host-02"]
        .map(|uri| SanType::URI(uri.try_into().unwrap()))
        .to_vec();
    params.serialize_request(key).unwrap().pem().unwrap()
}

pub(crate) fn host_key(key: &KeyPair) -> HostKey {
    HostKey::from_spki_der(&key.subject_public_key_info()).unwrap()
}

pub(crate) fn claims(token: &str, host: Option<&str>) -> Claims {
    let iat = wall().unix_millis() / 1000;
    Claims {
        iss: "demo".parse().unwrap(),
        aud: "demo".parse().unwrap(),
        sub: host.map(|host| host.parse().unwrap()),
        any_of: None,
        pattern: None,
        count: None,
        iat,
        nbf: None,
        exp: iat + 600,
        jti: token.parse().unwrap(),
        nonce: None,
        cnf: None,
    }
}

/// The claims of a token that only a host with `key` can use.
fn bound(token: &str, host: &str, key: &KeyPair) -> Claims {
    let cnf = Some(Confirmation { jkt: host_key(key).thumbprint() });
    Claims { cnf, ..claims(token, Some(host)) }
}

impl TestPlane {
    pub(crate) async fn enroll(&self, claims: &Claims, key: &KeyPair) -> Response {
        let token = mint(claims, &self.fleet.enroll_key).unwrap();
        self.post_enroll(&json!({ "token": token, "csr_pem": csr(key) })).await
    }

    pub(crate) async fn post_enroll(&self, body: &Value) -> Response {
        self.send(&client(&self.fleet.authority, None), "POST", "/v1/enroll", body).await
    }

    async fn refused(&self, claims: &Claims, key: &KeyPair) -> String {
        problem(self.enroll(claims, key).await).await
    }
}

/// The answer, and whom its certificate names.
pub(crate) async fn issued(response: Response) -> (CertificateAnswer, Caller) {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    let answer: CertificateAnswer = serde_json::from_str(&text).unwrap();
    let (_, pem) = parse_x509_pem(answer.chain_pem.as_bytes()).unwrap();
    let identity = read_identity(&pem.contents, &"demo".parse().unwrap()).unwrap();
    assert_eq!((identity.not_before, identity.not_after), (answer.not_before, answer.not_after));
    (answer, identity.caller)
}

fn generate() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn host(name: &str) -> Caller {
    Caller::Host(name.parse::<HostName>().unwrap())
}

/// S1, S7: what the certificate names is what the token names; a request may ask for whatever it likes.
#[tokio::test]
async fn s1_s7_the_name_is_the_tokens_and_never_the_requests() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let key = generate();
    let (answer, caller) = issued(plane.enroll(&claims("t-1", Some("host-01")), &key).await).await;
    assert_eq!(caller, host("host-01"));
    let own = Certificate { chain: answer.chain_pem, key: key.serialize_pem() };
    let own = client(&plane.fleet.authority, Some(&own));
    let beat = plane.send(&own, "POST", "/v1/agent/heartbeat", &heartbeat()).await;
    assert_eq!(beat.status(), 200);
    let shown = plane.get(&plane.client("operator/alice"), "/v1/hosts/host-01").await;
    assert_eq!(shown["cert_expires_at"], json!(answer.not_after));

    let token = mint(&claims("t-2", Some("host-01")), &plane.fleet.enroll_key).unwrap();
    let body = json!({ "token": token, "host": "host-02", "csr_pem": csr(&generate()) });
    assert_eq!(problem(plane.post_enroll(&body).await).await, "token-refused");
}

#[tokio::test]
async fn a_token_lets_one_key_in_once_and_remembers_it_over_a_restart() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let (key, other, claims) = (generate(), generate(), claims("t-1", Some("host-01")));
    issued(plane.enroll(&claims, &key).await).await;
    assert_eq!(plane.refused(&claims, &other).await, "token-used");
    // The answer may have been lost: the same key is the same host.
    issued(plane.enroll(&claims, &key).await).await;
    let plane = plane.restart_issuing().await;
    assert_eq!(plane.refused(&claims, &other).await, "token-used");
    issued(plane.enroll(&claims, &key).await).await;
    let log = plane.get(&plane.client("operator/alice"), "/v1/events?kind=host_enrolled").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "a repeat changes nothing");
    assert_eq!(log["items"][0]["payload"]["token"], "t-1");
}

#[tokio::test]
async fn a_bound_token_is_of_no_use_to_another_key() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let (key, thief) = (generate(), generate());
    let claims = bound("t-1", "host-01", &key);
    assert_eq!(plane.refused(&claims, &thief).await, "key-mismatch");
    issued(plane.enroll(&claims, &key).await).await;
    issued(plane.enroll(&claims, &key).await).await;
}

#[tokio::test]
async fn only_hosts_of_the_signed_fleet_join_and_only_with_the_key_it_pins() {
    let plane = TestPlane::start().await.restart_issuing().await;
    let key = generate();
    assert_eq!(plane.refused(&claims("t-1", Some("host-01")), &key).await, "no-release");
    let pinned = base64_of(&host_key(&key).to_spki_der());
    plane.offer(&Plan { public_key: Some(pinned), ..Plan::new(1, "r1") }).await;
    assert_eq!(plane.refused(&claims("t-2", Some("stranger")), &key).await, "host-not-in-fleet");
    assert_eq!(plane.refused(&claims("t-1", Some("host-01")), &generate()).await, "key-mismatch");
    // Nothing of this has used the token up.
    issued(plane.enroll(&claims("t-1", Some("host-01")), &key).await).await;
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn a_host_that_is_revoked_for_good_gets_no_certificate() {
    let not_before = wall().plus_secs(3600);
    let revoked = json!([{ "subject": "host/host-01", "not_before": not_before, "reason": null }]);
    let plane = TestPlane::issuing(&Plan { revoked, ..Plan::new(1, "r1") }).await;
    let code = plane.refused(&claims("t-1", Some("host-01")), &generate()).await;
    assert_eq!(code, "certificate-revoked");
}

#[tokio::test]
async fn a_token_for_a_pattern_counts_where_the_fleet_says_so_and_so_often_as_it_says() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let group = Claims { pattern: "host-*".parse().ok(), count: Some(1), ..claims("g", None) };
    let token = mint(&group, &plane.fleet.enroll_key).unwrap();
    let body = |host: &str| json!({ "token": token, "host": host, "csr_pem": csr(&generate()) });
    assert_eq!(problem(plane.post_enroll(&body("host-01")).await).await, "token-refused");
    let enroll = json!({ "group_tokens": true });
    plane.offer(&Plan { enroll, ..Plan::new(2, "r1") }).await;
    let nameless = json!({ "token": token, "csr_pem": csr(&generate()) });
    assert_eq!(problem(plane.post_enroll(&nameless).await).await, "bad-request");
    let (_, caller) = issued(plane.post_enroll(&body("host-01")).await).await;
    assert_eq!(caller, host("host-01"));
    assert_eq!(problem(plane.post_enroll(&body("host-02")).await).await, "token-used");
    assert_eq!(problem(plane.post_enroll(&body("db-1")).await).await, "token-refused");
}

/// In mode `strict` a token that was used before the database was lost cannot be used again.
#[tokio::test]
async fn after_a_lost_database_a_strict_fleet_wants_a_new_token_or_the_same_key() {
    let enroll = json!({ "mode": "strict", "nonce": "n-1" });
    let plane = TestPlane::issuing(&Plan { enroll, ..Plan::new(1, "r1") }).await;
    let (key, thief) = (generate(), generate());
    let without = claims("t-1", Some("host-01"));
    assert_eq!(plane.refused(&without, &key).await, "token-refused");
    // Whole seconds: the database was made in this one, maybe.
    let iat = without.iat + 1;
    let with = Claims { nonce: "n-1".parse().ok(), iat, ..without };
    issued(plane.enroll(&with, &key).await).await;
    let tied = bound("t-2", "host-02", &key);
    issued(plane.enroll(&tied, &key).await).await;

    // Until the clock has passed the token's time of issue, which is ahead of it by up to a second.
    plane.until("a second has passed", async || wall().unix_millis() / 1000 > iat).await;
    let plane = plane.restart_wiped().await;
    assert_eq!(plane.refused(&with, &thief).await, "token-refused");
    assert_eq!(plane.refused(&tied, &thief).await, "key-mismatch");
    issued(plane.enroll(&tied, &key).await).await;
    let fresh =
        Claims { jti: "t-3".parse().unwrap(), iat: wall().unix_millis() / 1000 + 1, ..with };
    issued(plane.enroll(&fresh, &thief).await).await;
}

#[tokio::test]
async fn without_an_issuer_the_answer_says_so() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let code = plane.refused(&claims("t-1", Some("host-01")), &generate()).await;
    assert_eq!(code, "issuing-disabled");
    let renew = json!({ "csr_pem": csr(&generate()) });
    let host = plane.client("host/host-01");
    let renewed = plane.send(&host, "POST", "/v1/agent/renew", &renew).await;
    assert_eq!(problem(renewed).await, "issuing-disabled");
}

#[tokio::test]
async fn what_is_no_request_for_a_certificate_is_refused() {
    let plane = TestPlane::issuing(&Plan::new(1, "r1")).await;
    let key = generate();
    let token = mint(&claims("t-1", Some("host-01")), &plane.fleet.enroll_key).unwrap();
    let stranger = wavegate_proto::signing::PrivateKey::from_seed([9; 32]);
    let forged = mint(&claims("t-1", Some("host-01")), &stranger).unwrap();
    for (body, code) in [
        (json!({ "csr_pem": csr(&key) }), "bad-request"),
        (json!({ "token": token, "expired_chain_pem": "", "csr_pem": csr(&key) }), "bad-request"),
        (json!({ "token": token, "csr_pem": "" }), "bad-csr"),
        (json!({ "token": forged, "csr_pem": csr(&key) }), "token-refused"),
        (json!({ "token": "", "csr_pem": csr(&key) }), "token-refused"),
        (json!({ "token": "x".repeat(64 * 1024), "csr_pem": "" }), "too-large"),
    ] {
        assert_eq!(problem(plane.post_enroll(&body).await).await, code, "{body:.60}");
    }
}
