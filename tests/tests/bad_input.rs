//! Bad input against the real programs, over mutual TLS: each is refused with its code, and what was there
//! before is there afterwards: the adopted release, the records, the files of the hosts.
//!
//! Not here: bad input that a part's own tests show with the real program already (a port in use and a
//! state folder of a newer version: `control-plane/tests/it/process.rs` and
//! `agent/tests/daemon/restart.rs`), a control plane that lies to an agent
//! (`agent/tests/daemon/taken_over.rs`), every rule of every document (`proto/tests/rules`).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

#[path = "bad_input/yard.rs"]
mod yard;

#[path = "bad_input/fleet_files.rs"]
mod fleet_files;
#[path = "bad_input/full_disk.rs"]
mod full_disk;
#[path = "bad_input/providers.rs"]
mod providers;
#[path = "bad_input/recall.rs"]
mod recall;
#[path = "bad_input/releases.rs"]
mod releases;
#[path = "bad_input/requests.rs"]
mod requests;
#[path = "bad_input/secrets.rs"]
mod secrets;
#[path = "bad_input/starting.rs"]
mod starting;
