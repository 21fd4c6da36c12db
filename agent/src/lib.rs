//! The agent on each host, the last line of defence: it acts only on what the signatures cover.
//!
//! The decisions are in `wavegate_state_machine::agent`; here is the shell around them.
//!
//! Not here: what is allowed (the state machine), what signatures mean (`wavegate-proto`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
pub mod exit;

pub mod clock;
pub mod identity;
pub mod own_program;
mod process;

pub mod client;
pub mod enroll;
pub mod journal;
pub mod snapshot;
pub mod trust;

pub mod activation;
pub mod cache;
pub mod current;
pub mod probes;
pub mod resources;

pub mod daemon;

pub mod cli;
pub mod inspect;
pub mod local;
