//! What the tests are made of: signed releases, the simulator, power cuts, real processes, and a judge of
//! what they say to each other.
//!
//! The tests themselves are in `tests/tests/`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

pub mod bench;
pub mod doc_commands;
pub mod judge;
pub mod power;
pub mod processes;
pub mod release_kit;
pub mod sim;
pub mod tap;
