//! The moments just before something on disk changes, so that a test can cut the power at each.
//!
//! Every change that the resource engine makes, on the host and in its own state folder, announces
//! itself here first. The real agent does nothing at that moment.
//! Not here: what is changed.

use std::fmt;
use std::io;

/// What is about to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The content of a file that was there before is kept aside.
    SaveOriginal,
    /// One of the agent's own small files is written.
    WriteState,
    /// One of the agent's own small files is removed.
    RemoveState,
    /// A temporary file is made beside its target.
    CreateTemp,
    /// Content goes into the temporary file.
    WriteTemp,
    /// A temporary file is removed.
    RemoveTemp,
    /// The temporary file takes its target's place.
    Rename,
    /// Owner or permission bits are set.
    SetAttributes,
    /// A folder is made.
    MakeDirectory,
    /// A file is removed.
    RemoveFile,
    /// A folder is removed.
    RemoveDirectory,
}

/// Told of each [`Step`] before it is taken.
pub trait Steps: fmt::Debug + Send + Sync {
    /// Called before the step.
    ///
    /// # Errors
    /// An error stands for the step's own failure; it is not taken.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// Lets every step happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unhindered;

impl Steps for Unhindered {
    fn before(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }
}
