//! Ed25519 signatures over canonical documents.
//!
//! The signed message is `wavegate/v1\n`, the artifact type, `\n`, and the JCS bytes of the document
//! as received (RFC 8785, RFC 8032).
//!
//! Not here: whose signatures count, and how many it takes (see [`crate::trust`]).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{KeyId, Sha256Hash};
use crate::json::{JsonError, parse_strict};

/// The schema version of a `.sig` file.
pub const SIGNATURE_SCHEMA_VERSION: u32 = 1;

/// The most bytes of a `.sig` file.
pub const MAX_SIGNATURE_FILE_BYTES: usize = 64 * 1024;

/// The most signatures of one document.
pub const MAX_SIGNATURES: usize = 64;

/// The content of a `.sig` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFile {
    /// 1.
    pub schema_version: u32,
    /// One for each signer.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Whose.
    pub key_id: KeyId,
    /// The 64 bytes, base64.
    pub signature: String,
}

/// What kind of document a signature is for; one for another kind does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtifactType {
    /// `fleet.json`.
    Fleet,
    /// A rollout's header.
    Rollout,
    /// A trust file.
    Trust,
    /// A collector's report, see [`crate::evidence`].
    Evidence,
}

impl ArtifactType {
    /// The type as it stands in the signed message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Rollout => "rollout",
            Self::Trust => "trust",
            Self::Evidence => "evidence",
        }
    }
}

/// Why something is not a key, a signature, or a signature of this key.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Not a PKCS#8 PEM with an Ed25519 key.
    #[error("not an Ed25519 private key in PKCS#8 PEM")]
    PrivateKey,
    /// Not 32 bytes in base64 that are a point of full order.
    #[error("not an Ed25519 public key in base64")]
    PublicKey,
    /// Not 64 bytes in base64.
    #[error("not an Ed25519 signature in base64")]
    Encoding,
    /// Made by another key, or over another document.
    #[error("the signature is not of this key and document")]
    Mismatch,
    /// Not a `.sig` file.
    #[error("not a signature file: {0}")]
    File(String),
}

impl From<JsonError> for SigningError {
    fn from(error: JsonError) -> Self {
        Self::File(error.to_string())
    }
}

impl SignatureFile {
    /// A file with these signatures.
    #[must_use]
    pub fn new(signatures: Vec<Signature>) -> Self {
        Self { schema_version: SIGNATURE_SCHEMA_VERSION, signatures }
    }

    /// The file as it is written.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // A number and texts: there is nothing in it that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a `.sig` file.
    ///
    /// # Errors
    /// When it is not one, or of another schema version, or too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, SigningError> {
        if bytes.len() > MAX_SIGNATURE_FILE_BYTES {
            return Err(SigningError::File(format!("above {MAX_SIGNATURE_FILE_BYTES} bytes")));
        }
        let file: Self = serde_json::from_value(parse_strict(bytes)?)
            .map_err(|error| SigningError::File(error.to_string()))?;
        if file.schema_version != SIGNATURE_SCHEMA_VERSION {
            return Err(SigningError::File(format!("schema version {}", file.schema_version)));
        }
        Ok(file)
    }

    /// Adds a signature, in place of an earlier one of the same key.
    pub fn put(&mut self, signature: Signature) {
        self.signatures.retain(|s| s.key_id != signature.key_id);
        self.signatures.push(signature);
    }
}

/// What is signed for a document with these canonical bytes.
#[must_use]
pub fn signed_message(artifact: ArtifactType, canonical: &[u8]) -> Vec<u8> {
    [b"wavegate/v1\n", artifact.as_str().as_bytes(), b"\n", canonical].concat()
}

/// The id of a raw Ed25519 public key: the first 16 hex digits of its SHA-256.
#[must_use]
pub fn key_id_of(public_key: &[u8; 32]) -> KeyId {
    let hex = Sha256Hash::of(public_key).to_string();
    KeyId::new(&hex[..16]).expect("hex digits of a hash are a key id")
}

/// An Ed25519 public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Its id.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        key_id_of(self.0.as_bytes())
    }

    /// Checks that `signature` is this key's over the document. Strict: keys and signatures of small
    /// order, and signatures that could be written in another way, are refused.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(
        &self,
        artifact: ArtifactType,
        canonical: &[u8],
        signature: &Signature,
    ) -> Result<(), SigningError> {
        let bytes = STANDARD.decode(&signature.signature).map_err(|_| SigningError::Encoding)?;
        let signature =
            ed25519_dalek::Signature::from_slice(&bytes).map_err(|_| SigningError::Encoding)?;
        self.verify_message(&signed_message(artifact, canonical), &signature.to_bytes())
    }

    /// Checks that `signature` is this key's over these very bytes; strict, as [`PublicKey::verify`].
    pub(crate) fn verify_message(
        &self,
        message: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), SigningError> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).map_err(|_| SigningError::Mismatch)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = SigningError;

    fn from_str(text: &str) -> Result<Self, SigningError> {
        let bytes = STANDARD.decode(text).map_err(|_| SigningError::PublicKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| SigningError::PublicKey)?;
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            Ok(_) | Err(_) => Err(SigningError::PublicKey),
        }
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An Ed25519 private key; wiped from memory when dropped, never shown.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The key with this seed. Where the seed comes from is the caller's business.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads a PKCS#8 PEM.
    ///
    /// # Errors
    /// When it is not one with an Ed25519 key.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SigningError> {
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| SigningError::PrivateKey)
    }

    /// Writes a PKCS#8 PEM (version 1, without the public key: older OpenSSL reads no other).
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> impl std::ops::Deref<Target = String> + use<> {
        KeypairBytes { secret_key: self.0.to_bytes(), public_key: None }
            .to_pkcs8_pem(LineEnding::LF)
            .expect("32 bytes can be written as PKCS#8")
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The public key, base64.
    #[must_use]
    pub fn public_key_base64(&self) -> String {
        self.public_key().to_string()
    }

    /// The id of its public key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.public_key().key_id()
    }

    /// Signs the document with these canonical bytes.
    #[must_use]
    pub fn sign(&self, artifact: ArtifactType, canonical: &[u8]) -> Signature {
        let signature = self.sign_message(&signed_message(artifact, canonical));
        Signature { key_id: self.key_id(), signature: STANDARD.encode(signature) }
    }

    /// Signs these very bytes.
    pub(crate) fn sign_message(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.key_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem() {
        let key = PrivateKey::from_seed([7; 32]);
        let pem = key.to_pkcs8_pem();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(PrivateKey::from_pkcs8_pem(&pem).unwrap().key_id(), key.key_id());
        assert!(PrivateKey::from_pkcs8_pem("-----BEGIN PRIVATE KEY-----").is_err());
        assert_eq!(format!("{key:?}"), format!("PrivateKey({})", key.key_id()));
    }

    #[test]
    fn a_signature_is_for_one_key_one_kind_and_one_document() {
        let (key, other) = (PrivateKey::from_seed([1; 32]), PrivateKey::from_seed([2; 32]));
        let signature = key.sign(ArtifactType::Fleet, b"{}");
        let public = key.public_key();
        assert!(public.verify(ArtifactType::Fleet, b"{}", &signature).is_ok());
        assert!(public.verify(ArtifactType::Rollout, b"{}", &signature).is_err());
        assert!(public.verify(ArtifactType::Fleet, b"{ }", &signature).is_err());
        assert!(other.public_key().verify(ArtifactType::Fleet, b"{}", &signature).is_err());
        for bad in ["", "AA==", "not base64", &signature.signature[1..]] {
            let bad = Signature { signature: bad.to_owned(), ..signature.clone() };
            assert!(public.verify(ArtifactType::Fleet, b"{}", &bad).is_err());
        }
    }

    /// A key of small order would make signatures verify that nobody made.
    #[test]
    fn weak_public_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        for bytes in [[0; 32], identity] {
            assert!(STANDARD.encode(bytes).parse::<PublicKey>().is_err());
        }
    }

    #[test]
    fn signing_again_replaces_the_own_signature() {
        let mut file = SignatureFile::new(Vec::new());
        for seed in [1, 2, 1] {
            file.put(PrivateKey::from_seed([seed; 32]).sign(ArtifactType::Fleet, &[seed]));
        }
        assert_eq!(file.signatures.len(), 2);
        let bytes = serde_json::to_vec(&file).unwrap();
        assert_eq!(SignatureFile::parse(&bytes).unwrap(), file);
        assert!(SignatureFile::parse(br#"{"schema_version":2,"signatures":[]}"#).is_err());
    }
}
