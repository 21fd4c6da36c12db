//! Whether the host was changed since it was last known to run one closure whole.
//!
//! `unsettled.json` is written before the first change of a pass and removed when a pass has ended
//! well. So a pass that was cut off is remembered, and the next one does not say "nothing changed".
//! Not here: what was changed (see `owned`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::durable;
use super::steps::Steps;

#[derive(Serialize)]
struct Document {
    schema_version: u32,
}

/// The mark.
#[derive(Debug)]
pub struct ChangeMark {
    path: PathBuf,
    steps: Arc<dyn Steps>,
    /// An earlier pass was cut off, or failed after it had changed something.
    inherited: AtomicBool,
    /// Whether the file is there. Held while it is written: workers run at the same time.
    marked: Mutex<bool>,
    changed: AtomicBool,
}

impl ChangeMark {
    /// Reads the mark of the state folder.
    #[must_use]
    pub fn open(state_dir: &Path, steps: Arc<dyn Steps>) -> Self {
        let path = state_dir.join("unsettled.json");
        let there = path.exists();
        Self {
            path,
            steps,
            inherited: AtomicBool::new(there),
            marked: Mutex::new(there),
            changed: AtomicBool::new(false),
        }
    }

    /// A pass begins.
    pub fn begin(&self) {
        let there = *self.marked();
        self.inherited.store(there, Ordering::SeqCst);
        self.changed.store(false, Ordering::SeqCst);
    }

    /// Something is about to be changed.
    ///
    /// # Errors
    /// When that cannot be written down; then nothing may be changed.
    pub fn intend(&self) -> io::Result<()> {
        let mut marked = self.marked();
        if *marked {
            return Ok(());
        }
        durable::write_json(self.steps.as_ref(), &self.path, &Document { schema_version: 1 })?;
        *marked = true;
        Ok(())
    }

    /// Something has been changed.
    pub fn note(&self) {
        self.changed.store(true, Ordering::SeqCst);
    }

    /// Whether this pass, or one that was cut off before it, changed anything.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.changed.load(Ordering::SeqCst) || self.inherited.load(Ordering::SeqCst)
    }

    /// The pass has ended well: the host runs one closure whole.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn settle(&self) -> io::Result<()> {
        let mut marked = self.marked();
        durable::remove(self.steps.as_ref(), &self.path)?;
        *marked = false;
        Ok(())
    }

    /// The pass has ended otherwise: the mark goes only if there is nothing to remember. For a
    /// correction of drift, which leaves the host as its closure says, `changed` does not count.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn end(&self, pass: PassKind) -> io::Result<()> {
        let changed = self.changed.load(Ordering::SeqCst) && pass == PassKind::Activation;
        if changed || self.inherited.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.settle()
    }

    fn marked(&self) -> MutexGuard<'_, bool> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What kind of pass changed the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassKind {
    /// From one closure to another.
    Activation,
    /// Back to the closure that runs.
    Correction,
}
