//! The control plane's shells against the real thing: SQLite on disk, TLS, the binary itself.
//!
//! Not here: the decisions (tested in the crates that make them).
#![allow(clippy::unwrap_used)]

mod fleet;
mod running;

mod agents;
mod commits;
mod enroll;
mod events;
mod index;
mod limits;
mod matrix;
mod openapi;
mod process;
mod publishing;
mod rebuild;
mod renewal;
mod resumption;
mod roles;
mod store;
mod stream;
