//! The resource engine: typed resources brought to, and kept in, their wanted state.
//!
//! Reading order: what a kind can do (`kind`), the kinds, finding and replacing things below the root
//! (`root`, `place`), what is ours and what was there before (`owned`, `original`), then order,
//! gates, the engine and drift.
//! Not here: which bundle to run (the agent's decisions), fetching it (`cache`, the client).

pub mod kind;

pub mod directory;
pub mod file;

pub mod account_group;
pub mod container;
pub mod network_config;
pub mod package;
pub mod resource_group;
pub mod shell_job;
pub mod systemd_unit;
pub mod user;

mod account_files;
pub mod accounts;
pub mod difference;
pub mod host;
mod place;
pub mod root;

mod apt;
pub mod change;
mod collect;
mod container_engine;
mod container_form;
pub mod durable;
pub mod jobs;
mod network_trial;
mod networkd;
pub mod one_way;
pub mod original;
pub mod owned;
mod ownership;
pub mod reach;
pub mod steps;
pub mod systemd;

pub mod drift;
pub mod engine;
pub mod error;
pub mod gate;
pub mod graph;
pub mod plan;
mod rivals;
pub mod status;
pub mod watch;
mod worker;

pub(crate) use collect::{Sweep, collect};
