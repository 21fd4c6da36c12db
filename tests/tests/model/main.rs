//! Exhaustive: the real core and the real agents, in every order of everything that can happen to three
//! hosts in two waves under a budget of one, within stated bounds for each fault.
//!
//! Not here: long paths and many hosts (see the simulator), and storage (see the store's own tests).
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    missing_docs,
    reason = "test code"
)]

mod action;
mod bounds;
mod canon;
mod judge;
mod model;
mod progress;
mod setup;
mod state;
mod step;
