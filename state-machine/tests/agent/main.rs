//! The agent's decisions, scenario by scenario.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod both_sides;
mod dispatch;
mod health;
mod host;
mod one_way;
mod plans;
mod properties;
mod recovery;
mod rollback;
