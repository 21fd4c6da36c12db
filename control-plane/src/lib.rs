//! The control plane: one reducer, SQLite behind it, HTTPS in front of it.
//!
//! Reading order: [`core`] decides, [`store`] persists, [`service`] runs the two in batches,
//! [`server`] speaks HTTP, [`workers`] adopt releases into [`blobs`] and the release folder, [`app`]
//! puts them together, [`cli`] starts that from a command line. [`forecast`] lets the core run ahead of time.
//!
//! Not here: what a host may do (see `wavegate-state-machine`), which host goes next (see
//! `wavegate-reconciler`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod core;

pub mod forecast;

pub mod store;

pub mod service;

pub mod blobs;
pub mod issuing;
pub mod server;
pub mod workers;

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod echo_key;
pub mod exit;
mod heap;
mod key_file;
pub mod trust;

pub use cli::{Args, run};
