//! Issuing certificates to hosts: short-lived, by an authority that stands below the fleet's offline root.
//!
//! The key that is here signs certificates of hosts and nothing else that anybody believes: no release,
//! no trust file, no server (see `docs/decisions/0041-issuing.md`).
//!
//! Not here: who is given one (see [`crate::core`]).

pub mod csr;
pub mod expired;
pub mod issuer;

pub use issuer::{Issuer, IssuerError};
