//! SQLite behind the reducer: the log, and the rows derived from it, one transaction a batch.
//!
//! - [`schema`] opens the file: settings, migrations, the epoch;
//! - [`writer`] commits, `batch` orders what is committed, `derived` holds its statements;
//! - `load` reads everything back at a start;
//! - [`reader`] serves the event list from connections of its own, `page` finds what is asked for,
//!   [`index`] knows where it is;
//! - [`check`] verifies a database at rest, [`rebuild`] makes one anew from the log.
//!
//! Not here: what is written (see [`crate::core`]), when (see [`crate::service`]).

mod batch;
pub mod check;
mod derived;
pub mod error;
pub mod index;
mod load;
mod page;
pub mod reader;
pub mod rebuild;
mod row;
pub mod schema;
pub mod writer;

pub use error::StoreError;
pub use reader::{EventQuery, EventReader};
pub use writer::Store;

/// The name of the database in the state folder.
pub const DATABASE_FILE: &str = "wavegate.db";
