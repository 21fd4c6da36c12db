//! The agent against a small control plane, honest or hostile, over real mutual TLS.
#![allow(missing_docs, clippy::unwrap_used)]

mod agent;
mod attacks;
mod control_plane;
#[path = "../resources/deb.rs"]
mod deb;
mod lies;
#[path = "../resources/machine.rs"]
mod machine;
mod pki;
mod release;

mod certificates;
mod client;
mod disk_full;
mod happy;
mod hostile;
mod inspect;
mod jobs;
mod kill_9;
mod local;
mod nixos;
mod nixos_host;
mod one_way;
mod own_update;
mod restart;
mod rotation;
mod service;
mod signals;
mod taken_over;
