//! Enrollment tokens: who may join the fleet under which name. A compact JWS (RFC 7515) over the claims
//! of a JWT (RFC 7519), EdDSA only.
//!
//! Not here: whether a token has been used, and whether the host is in the fleet (the control plane);
//! making randomness and keys (the CLI).

pub mod claims;
pub mod host_key;
mod jws;
pub mod pattern;
pub mod token;

pub use claims::Claims;
pub use host_key::HostKey;
pub use pattern::HostPattern;
pub use token::{EnrollToken, TokenError, TokenScope, mint};

/// The most bytes of a token.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The longest a token may be valid, in seconds: a week.
pub const MAX_TOKEN_LIFETIME_SECS: u64 = 7 * 86_400;

/// How far the clock of who issued a token may be ahead, in seconds.
pub const TOKEN_SKEW_SECS: u64 = 60;

/// The most hosts that a token may name one by one.
pub const MAX_TOKEN_HOSTS: usize = 64;

/// The most hosts that one token may let in.
pub const MAX_TOKEN_COUNT: u32 = 1000;
