//! What the tests are made of: signed releases, the simulator, real processes.
//!
//! The tests themselves are in `tests/tests/`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

pub mod bench;
pub mod doc_commands;
pub mod power;
pub mod processes;
pub mod release_kit;
pub mod sim;
