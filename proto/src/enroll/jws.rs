//! The compact form of a JWS (RFC 7515), for one algorithm: header, payload and signature, base64url.
//!
//! The algorithm is the key's. The header's `alg` chooses nothing: it is compared, and another one is
//! refused (S6). `kid` finds the key among those that are believed anyway.
//!
//! Not here: what the payload says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::KeyId;
use crate::json::parse_strict;
use crate::signing::PrivateKey;
use crate::trust::{Algorithm, TrustedKey};

const ALGORITHM: &str = "EdDSA";

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: KeyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that a reader must understand; there are none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<Value>,
}

/// Why a text is not a token of one of the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three parts in base64url, or not JSON inside.
    #[error("it is not a signed token: {0}")]
    Form(&'static str),
    /// Another algorithm than the key's.
    #[error("its header names the algorithm {0:?}; the key's is EdDSA")]
    Algorithm(String),
    /// A key that nobody believes.
    #[error("its key {0} is not one of those that let hosts in")]
    UnknownKey(KeyId),
    /// Made by another key, or changed.
    #[error("its signature is not that of key {0}")]
    Signature(KeyId),
}

/// Signs `payload`.
pub(super) fn sign<T: Serialize>(key: &PrivateKey, payload: &T) -> String {
    let header = Header {
        alg: ALGORITHM.to_owned(),
        kid: key.key_id(),
        typ: Some("JWT".to_owned()),
        crit: None,
    };
    // Texts and numbers: there is nothing in them that JSON cannot hold.
    let part = |json: Result<Vec<u8>, _>| URL_SAFE_NO_PAD.encode(json.unwrap_or_default());
    let signed =
        format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(payload)));
    let signature = URL_SAFE_NO_PAD.encode(key.sign_message(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The payload of `text`, which nobody has verified.
pub(super) fn unverified_payload(text: &str) -> Option<Value> {
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    parse_strict(&payload).ok()
}

/// The payload of `text` and the key that signed it.
pub(super) fn verify<'k>(
    text: &str,
    keys: &'k [TrustedKey],
) -> Result<(&'k TrustedKey, Value), JwsError> {
    let form = JwsError::Form;
    let (signed, signature) = text.rsplit_once('.').ok_or(form("it has no signature"))?;
    let (header, payload) = signed.split_once('.').ok_or(form("it has no payload"))?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| form("it is not base64url"));
    let json = |part: &str| {
        parse_strict(&decode(part)?).map_err(|_| form("a part of it is not strict JSON"))
    };
    let header: Header =
        serde_json::from_value(json(header)?).map_err(|_| form("its header has no alg or kid"))?;
    if header.crit.is_some() {
        return Err(form("its header asks for extensions"));
    }
    let known = keys.iter().find(|key| key.key_id == header.kid);
    let key = known.ok_or_else(|| JwsError::UnknownKey(header.kid.clone()))?;
    let expected = match key.algorithm {
        Algorithm::Ed25519 => ALGORITHM,
    };
    if header.alg != expected {
        return Err(JwsError::Algorithm(header.alg.chars().take(32).collect()));
    }
    let signature = decode(signature)?;
    let signature = signature.try_into().map_err(|_| form("its signature is not 64 bytes"))?;
    key.public_key
        .verify_message(signed.as_bytes(), &signature)
        .map_err(|_| JwsError::Signature(header.kid))?;
    Ok((key, json(payload)?))
}
