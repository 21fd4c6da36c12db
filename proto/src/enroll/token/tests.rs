//! Tokens as they are minted, changed, and aged.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::trust::{EnrollTrust, TrustedKey};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-21T09:00:00Z")
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

fn trust() -> TrustFile {
    let keys = vec![TrustedKey::new(key(1).public_key())];
    let mut trust = TrustFile::new("demo".parse().unwrap(), 1, keys, Vec::new());
    trust.enroll = Some(EnrollTrust { keys: vec![TrustedKey::new(key(2).public_key())] });
    trust
}

fn claims() -> Claims {
    let iat = now().unix_millis() / 1000;
    Claims {
        iss: "demo".parse().unwrap(),
        aud: "demo".parse().unwrap(),
        sub: Some("web-07".parse().unwrap()),
        any_of: None,
        pattern: None,
        count: None,
        iat,
        nbf: None,
        exp: iat + 3600,
        jti: "t-1".parse().unwrap(),
        nonce: None,
        cnf: None,
    }
}

fn verified(claims: &Claims) -> Result<EnrollToken, TokenError> {
    EnrollToken::verify(&jws::sign(&key(2), claims), &trust(), now())
}

/// A token with another header, signed over it by the right key all the same.
fn with_header(header: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(&serde_json::to_value(claims()).unwrap()));
    let signature = URL_SAFE_NO_PAD.encode(key(2).sign_message(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[test]
fn a_minted_token_is_verified() {
    let token = EnrollToken::verify(&mint(&claims(), &key(2)).unwrap(), &trust(), now()).unwrap();
    assert_eq!(token.host(None), Ok("web-07".parse().unwrap()));
    assert!(EnrollToken::names_one_host(&mint(&claims(), &key(2)).unwrap()));
    assert_eq!((token.count, token.key_id), (1, key(2).key_id()));
    assert_eq!(token.expires_at, at("2026-11-21T10:00:00Z"));
}

/// S6: the algorithm is the key's. A header that names another, or none, is refused, whatever the
/// signature.
#[test]
fn s6_the_header_of_a_token_does_not_choose_the_algorithm() {
    let kid = key(2).key_id();
    for alg in ["none", "HS256", "ES256", "eddsa", ""] {
        let token = with_header(&json!({ "alg": alg, "kid": kid }));
        let error = EnrollToken::verify(&token, &trust(), now()).unwrap_err();
        assert!(matches!(error, TokenError::Jws(JwsError::Algorithm(_))), "{alg}: {error}");
    }
    for header in
        [json!({ "alg": "EdDSA" }), json!({ "alg": "EdDSA", "kid": kid, "crit": ["b64"] })]
    {
        assert!(EnrollToken::verify(&with_header(&header), &trust(), now()).is_err(), "{header}");
    }
    assert!(
        EnrollToken::verify(&with_header(&json!({ "alg": "EdDSA", "kid": kid })), &trust(), now())
            .is_ok()
    );
}

#[test]
fn only_enrollment_keys_let_hosts_in() {
    // A release key is not one, nor is a stranger's; without any, nobody is.
    for seed in [1, 9] {
        let token = jws::sign(&key(seed), &claims());
        let error = EnrollToken::verify(&token, &trust(), now()).unwrap_err();
        assert_eq!(error, TokenError::Jws(JwsError::UnknownKey(key(seed).key_id())));
    }
    let token = jws::sign(&key(2), &claims());
    assert!(EnrollToken::verify(&token, &TrustFile { enroll: None, ..trust() }, now()).is_err());
}

#[test]
fn a_token_that_was_changed_or_cut_is_refused() {
    let token = jws::sign(&key(2), &claims());
    let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"web-08"}"#);
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[1] = &payload;
    let huge = "a".repeat(MAX_TOKEN_BYTES + 1);
    for bad in [&parts.join("."), &token[..token.len() - 1], &token[1..], "", "a.b.c", "..", &huge]
    {
        assert!(EnrollToken::verify(bad, &trust(), now()).is_err(), "{bad:.40}");
    }
}

#[test]
fn a_token_counts_in_its_fleet_and_time_only() {
    let error = |edit: &dyn Fn(&mut Claims)| {
        let mut claims = claims();
        edit(&mut claims);
        verified(&claims).map(|_| ()).map_err(|e| e.code().as_str())
    };
    assert_eq!(error(&|_| {}), Ok(()));
    assert_eq!(error(&|c| c.aud = "other".parse().unwrap()), Err("token-refused"));
    assert_eq!(error(&|c| c.iss = "other".parse().unwrap()), Err("token-refused"));
    // 60 s of skew ahead, none behind.
    assert_eq!(error(&|c| c.iat += 60), Ok(()));
    assert_eq!(error(&|c| c.iat += 61), Err("token-refused"));
    assert_eq!(error(&|c| (c.iat, c.exp) = (c.iat - 60, c.iat)), Err("token-expired"));
    assert_eq!(error(&|c| c.exp = c.iat + 7 * 86_400), Ok(()));
    assert_eq!(error(&|c| c.exp = c.iat + 7 * 86_400 + 1), Err("token-refused"));
    assert_eq!(error(&|c| c.iat = i64::MIN), Err("token-refused"));
    assert_eq!(error(&|c| c.exp = i64::MAX), Err("token-refused"));
}

#[test]
fn keys_and_cut_offs_of_the_trust_file_hold_for_tokens() {
    let token = jws::sign(&key(2), &claims());
    let refused = |edit: &dyn Fn(&mut TrustFile)| {
        let mut trust = trust();
        edit(&mut trust);
        EnrollToken::verify(&token, &trust, now()).is_err()
    };
    assert!(refused(&|t| t.reject_signed_before = Some(now().plus_secs(1))));
    assert!(!refused(&|t| t.reject_signed_before = Some(now())));
    assert!(refused(&|t| {
        t.enroll.as_mut().unwrap().keys[0].not_after = Some(at("2026-11-21T08:59:59Z"));
    }));
}

#[test]
fn a_token_names_exactly_one_set_of_hosts_and_a_count_that_fits() {
    let ok = |edit: &dyn Fn(&mut Claims)| {
        let mut claims = claims();
        claims.sub = None;
        edit(&mut claims);
        assert_eq!(verified(&claims).is_ok(), mint(&claims, &key(2)).is_ok());
        verified(&claims).is_ok()
    };
    let host = |name: &str| name.parse::<HostName>().unwrap();
    let jkt = "A".repeat(43);
    assert!(!ok(&|_| {}));
    assert!(!ok(&|c| (c.sub, c.any_of) = (Some(host("a")), Some(vec![host("a")]))));
    assert!(!ok(&|c| c.any_of = Some(Vec::new())));
    assert!(ok(&|c| (c.any_of, c.count) = (Some(vec![host("a"), host("b")]), Some(2))));
    assert!(!ok(&|c| (c.any_of, c.count) = (Some(vec![host("a"), host("b")]), Some(3))));
    assert!(!ok(&|c| (c.sub, c.count) = (Some(host("a")), Some(2))));
    assert!(!ok(&|c| (c.pattern, c.count) = ("web-*".parse().ok(), Some(0))));
    assert!(ok(&|c| (c.pattern, c.count) = ("web-*".parse().ok(), Some(1000))));
    assert!(!ok(&|c| (c.pattern, c.count) = ("web-*".parse().ok(), Some(1001))));
    let cnf = |jkt: &str| Some(super::super::claims::Confirmation { jkt: jkt.parse().unwrap() });
    assert!(!ok(&|c| (c.pattern, c.count, c.cnf) = ("web-*".parse().ok(), Some(2), cnf(&jkt))));
    assert!(ok(&|c| (c.sub, c.cnf) = (Some(host("a")), cnf(&jkt))));
}

/// S1: the name is the token's; a request chooses at most among those that the token has.
#[test]
fn s1_a_request_cannot_choose_a_name_that_the_token_does_not_have() {
    let host = |name: &str| name.parse::<HostName>().unwrap();
    let one = verified(&claims()).unwrap();
    assert_eq!(one.host(Some(&host("web-07"))), Ok(host("web-07")));
    assert_eq!(one.host(Some(&host("db-1"))), Err(TokenError::NotForHost(host("db-1"))));
    let group = Claims { sub: None, pattern: "web-*".parse().ok(), count: Some(2), ..claims() };
    let group = verified(&group).unwrap();
    assert_eq!(group.host(None), Err(TokenError::HostMissing));
    assert_eq!(group.host(Some(&host("web-9"))), Ok(host("web-9")));
    assert!(group.host(Some(&host("db-1"))).is_err());
}
