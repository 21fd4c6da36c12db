//! What Wavegate says and signs: names, signed artifacts, wire messages, canonical JSON,
//! signatures and Merkle proofs. Data and verification only.
//!
//! Not here: decisions (see `wavegate-state-machine` and `wavegate-reconciler`), I/O, clocks.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ids;
pub mod time;
pub mod time_floor;

pub mod canonical;
pub mod json;
pub mod key_file;
pub mod merkle;
pub mod signing;
pub mod trust;

pub mod artifact;
pub mod enroll;

pub mod duration;
pub mod event;
pub mod evidence;
pub mod log_chain;
pub mod record;
pub mod wire;
