//! The host machine: tables, guards, journals, properties.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod fixtures;
mod guards;
mod journal;
mod properties;
mod table;
