//! The real programs, as somebody at a terminal runs them.
//!
//! Not here: what the tests make them do.

pub mod programs;
pub mod terminal;
