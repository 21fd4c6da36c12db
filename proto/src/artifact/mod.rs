//! Signed documents: what a release is made of, and the rules by which it is accepted.
//!
//! Not here: how documents are signed (see [`crate::signing`]).

pub mod bundle;
pub mod entry;
pub mod fleet;
pub mod header;
pub mod policy;
pub mod window;

pub mod revocations;
pub mod rules;
pub mod verified;

mod bounds;
mod hosts_table;
mod received;

pub mod proof;
pub mod release;
pub mod release_dir;
