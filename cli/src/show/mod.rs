//! How answers look on a terminal: all words for people are here, and are snapshot-tested.
//!
//! Every function is pure: answer in, text out. Not here: asking (see [`crate::client`]).

pub mod channels;
pub mod diff;
mod eta;
pub mod events;
pub mod explain;
pub mod hosts;
pub mod keys;
pub mod plan;
pub mod quarantines;
pub mod release;
pub mod resources;
pub mod rollouts;
pub mod simulate;
pub mod status;
mod table;
pub mod windows;

#[cfg(test)]
mod tests;
