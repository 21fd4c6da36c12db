//! The operator's tool as a library: describing a fleet, building and signing releases, keys and
//! certificates, and reading what a control plane says.
//!
//! Not here: deciding anything about a rollout. The control plane and the agents do that.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod commands;
pub mod demo;
pub mod show;
pub mod swarm;

pub mod fleet_toml;

pub mod bundle_toml;

pub mod release;

pub mod dag;

pub mod import;
pub mod init;
pub mod keys;

pub mod client;
pub mod exit;
pub mod suggest;
