//! What runs beside the reducer and the server.
//!
//! Not here: decisions; workers fetch, verify and write files, and send inputs.

pub mod certificates;
pub mod clock;
pub mod compaction;
pub mod indexing;
pub mod release;
