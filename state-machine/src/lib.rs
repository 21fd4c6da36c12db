//! What may happen: the host machine, the rollout machine, and the agent's own decisions. Pure: no
//! clock, no randomness, no I/O; time is an argument.
//!
//! Not here: what should happen next across the fleet (`wavegate-reconciler`), and everything that
//! touches the world (`wavegate-control-plane`, `wavegate-agent`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod host;
pub mod rollout;
