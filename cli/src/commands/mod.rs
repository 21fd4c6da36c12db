//! One file a command: its arguments, what it asks for, what it prints.
//!
//! Not here: how answers look on a terminal (see [`crate::show`]).

pub mod ca;
pub mod changing;
pub mod channels;
pub mod dag;
pub mod drift;
pub mod events;
pub mod host;
pub mod hosts;
pub mod import;
pub mod init;
pub mod key;
pub mod log;
mod percentage;
pub mod plan;
pub mod quarantine;
pub mod reading;
pub mod release;
pub mod rollout;
pub mod simulate;
pub mod status;
pub mod swarm;
pub mod token;
pub mod trust;
