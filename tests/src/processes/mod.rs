//! Fleets of real processes: the real program, mTLS, SQLite on disk, SIGKILL.
//!
//! Reading order: [`folder`] has keys, certificates and releases; [`program`] starts and kills;
//! [`control_plane`] and [`agents`] are what runs; [`reader`] asks the status listener; [`wait`]
//! waits for conditions; [`watcher`] looks all the time while a test does something else. What is
//! judged afterwards: [`log`], [`ledger`], [`slots`] and [`picture`]. [`terminal`] is a shell, for the pages
//! that people type from.
//!
//! Everything dies with the test. Not here: the tests (see `tests/tests/`).

pub mod agents;
pub mod control_plane;
pub mod folder;
pub mod ledger;
pub mod log;
pub mod picture;
pub mod program;
pub mod reader;
pub mod slots;
pub mod terminal;
pub mod wait;
pub mod watcher;
