//! Power cuts on the real stores: the control plane's database and the agent's journal, on a disk in
//! memory that loses what was not synced.
//!
//! - [`disk`] is that disk, with its faults; [`machine`] says who has which file open;
//! - `vfs` shows it to SQLite, which is the only unsafe code here;
//! - [`trial`] lets a store live, cuts the power, and judges what is left;
//! - `store` and `journal` are the two stores and what is written to them; [`bare`] is the control.
//!
//! Not here: the stores. They are opened as the programs open them.

pub mod bare;
pub mod disk;
pub mod journal;
pub mod machine;
pub mod store;
pub mod tally;
pub mod trial;
mod vfs;
