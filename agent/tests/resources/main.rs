//! The resource engine, activation and cache on real files in a temporary folder.
//!
//! Not here: the daemon around them.
// Literals of `json!` read best as they are.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod accounts;
mod cache;
mod containers;
mod crash;
mod deb;
mod disk_full;
mod drift;
mod engine;
mod files;
mod going_back;
mod groups;
mod jobs;
mod links;
mod machine;
mod networks;
mod one_way;
mod packages;
mod pairs;
mod podman;
mod real_nix;
mod real_switch;
mod signals;
mod systemd;
mod world;
