//! A host's public key, as its certificate signing request carries it: Ed25519, or ECDSA on P-256.
//! Nothing else is let in, so a key is recognised by the exact bytes before it.
//!
//! Not here: private keys.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::ids::{KeyThumbprint, Sha256Hash};

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const ED25519_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What stands before the coordinates of an uncompressed point on P-256 (RFC 5480).
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// A host's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKey {
    /// Ed25519.
    Ed25519([u8; 32]),
    /// ECDSA on P-256, by its point.
    P256 {
        /// The first coordinate.
        x: [u8; 32],
        /// The second.
        y: [u8; 32],
    },
}

/// Why bytes are no key of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 or ECDSA P-256 public key")]
pub struct HostKeyError;

impl HostKey {
    /// Reads a SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    /// When it is of another kind, or not one.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, HostKeyError> {
        if let Some(key) = der.strip_prefix(&ED25519_PREFIX) {
            return key.try_into().map(Self::Ed25519).map_err(|_| HostKeyError);
        }
        let point = der.strip_prefix(&P256_PREFIX).ok_or(HostKeyError)?;
        let (x, y) = point.split_at_checked(32).ok_or(HostKeyError)?;
        let coordinate = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| HostKeyError);
        Ok(Self::P256 { x: coordinate(x)?, y: coordinate(y)? })
    }

    /// As [`HostKey::from_spki_der`] reads it.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [&ED25519_PREFIX[..], key].concat(),
            Self::P256 { x, y } => [&P256_PREFIX[..], x, y].concat(),
        }
    }

    /// The thumbprint (RFC 7638): SHA-256 over the required members of the JWK, in their order.
    #[must_use]
    pub fn thumbprint(&self) -> KeyThumbprint {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let members = match self {
            Self::Ed25519(key) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(key))
            }
            Self::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y))
            }
        };
        let hash = Sha256Hash::of(members.as_bytes());
        KeyThumbprint::new(&encode(&hash.0)).expect("32 bytes are 43 characters of base64url")
    }

    /// Whether the fleet document pins this key: its SubjectPublicKeyInfo, or the raw bytes of an
    /// Ed25519 key, in base64.
    #[must_use]
    pub fn is_pinned_by(&self, pinned: &str) -> bool {
        let Ok(bytes) = STANDARD.decode(pinned) else { return false };
        let raw = match self {
            Self::Ed25519(key) => bytes == key,
            Self::P256 { .. } => false,
        };
        raw || bytes == self.to_spki_der()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8037, appendix A.3.
    #[test]
    fn the_thumbprint_is_the_one_of_the_rfc() {
        let key = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = HostKey::Ed25519(key.try_into().unwrap());
        assert_eq!(key.thumbprint().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn keys_are_read_as_they_were_written_and_others_refused() {
        for key in [HostKey::Ed25519([3; 32]), HostKey::P256 { x: [1; 32], y: [2; 32] }] {
            let der = key.to_spki_der();
            assert_eq!(HostKey::from_spki_der(&der), Ok(key.clone()));
            assert!(HostKey::from_spki_der(&der[..der.len() - 1]).is_err());
            assert!(HostKey::from_spki_der(&[&der[..], &[0]].concat()).is_err());
            assert!(key.is_pinned_by(&STANDARD.encode(&der)));
        }
        assert!(HostKey::Ed25519([3; 32]).is_pinned_by(&STANDARD.encode([3; 32])));
        assert!(!HostKey::Ed25519([3; 32]).is_pinned_by(&STANDARD.encode([4; 32])));
        assert!(HostKey::from_spki_der(b"").is_err());
    }
}
