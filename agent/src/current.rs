//! What runs now: the closure that was last activated whole, in a small durable file.
//!
//! It is written at the end of an activation or a rollback, never before: while a switch is under
//! way it still names what ran before.
//! Not here: what should run (the signed plan), what was tried (the journal).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wavegate_proto::ids::ClosureId;

use crate::resources::durable::{self, Stored};
use crate::resources::steps::Steps;

#[derive(Serialize, Deserialize)]
struct Document {
    schema_version: u32,
    closure: Option<ClosureId>,
}

/// The file `current.json` of the state folder.
#[derive(Debug)]
pub struct Current {
    path: PathBuf,
    steps: Arc<dyn Steps>,
}

impl Current {
    /// The file of this state folder.
    #[must_use]
    pub fn in_state_dir(state_dir: &Path, steps: Arc<dyn Steps>) -> Self {
        Self { path: state_dir.join("current.json"), steps }
    }

    /// What runs now, read from disk each time. `None`: nothing of ours.
    ///
    /// # Errors
    /// When the file is there and cannot be read: what runs is then not known, which is not the same
    /// as nothing.
    pub fn read(&self) -> io::Result<Option<ClosureId>> {
        match durable::read_json::<Document>(&self.path)? {
            Stored::Absent => Ok(None),
            Stored::Found(document) if document.schema_version == 1 => Ok(document.closure),
            Stored::Found(document) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} has version {}", self.path.display(), document.schema_version),
            )),
            Stored::Unreadable(why) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {why}", self.path.display()),
            )),
        }
    }

    /// Records what runs from now on, durably.
    ///
    /// # Errors
    /// Those of the file system; the old record then stands.
    pub fn write(&self, closure: Option<&ClosureId>) -> io::Result<()> {
        let document = Document { schema_version: 1, closure: closure.cloned() };
        durable::write_json(self.steps.as_ref(), &self.path, &document)
    }
}
