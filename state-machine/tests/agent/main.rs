//! The agent's decisions, scenario by scenario.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod bootstrap;
mod both_sides;
mod dispatch;
mod health;
mod host;
mod journals;
mod one_way;
mod outbox;
mod plans;
mod prior;
mod probing;
mod properties;
mod recovery;
mod rollback;
