//! Keys and certificates: release keys, the fleet's certificate authority, the trust file.
//!
//! Not here: what a signature is good for (`wavegate_proto::trust`).

pub mod ca;
pub mod file;
pub mod host_key;
pub mod release_key;
pub mod rotation;
pub mod token_id;
pub mod trust;

pub use ca::{CertificateAuthority, Issued, Role};
