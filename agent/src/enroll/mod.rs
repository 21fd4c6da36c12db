//! How this host gets its certificate: its key is made here and never leaves; a token gets the first
//! certificate, each certificate the next.
//!
//! Not here: when the next one is due (`wavegate_state_machine::agent`), asking in time (see
//! [`crate::daemon`]).

pub mod answer;
pub mod command;
pub mod join;
pub mod key;
pub mod name;
