//! Names for tokens: random, so that no two are the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wavegate_proto::ids::TokenId;

use super::release_key::KeyError;

const RANDOM_BYTES: usize = 16;

/// A name that no other token has.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate() -> Result<TokenId, KeyError> {
    let mut bytes = [0; RANDOM_BYTES];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| KeyError::Random)?;
    TokenId::new(&URL_SAFE_NO_PAD.encode(bytes)).map_err(|_| KeyError::Random)
}
