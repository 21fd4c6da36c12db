//! The exit codes of `wavegate-agent`, and the errors that choose them.

use std::borrow::Cow;
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A clean stop, or a question answered.
    Clean,
    /// Something went wrong while running.
    Failed,
    /// A command line, configuration or file written by a person is wrong.
    Usage,
    /// The state folder is of a newer version, or another process holds it.
    StateUnusable,
    /// The journal cannot be written.
    CommitFailed,
    /// Another program has taken the place of this one; a supervisor starts it.
    Replaced,
}

impl Exit {
    /// The code as the shell sees it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::StateUnusable => 5,
            Self::CommitFailed => 6,
            Self::Replaced => 7,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why the program stops, with a hint where there is a fix.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What went wrong; fits after "failed to".
    pub message: String,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, error: impl std::fmt::Display) -> Self {
        Self { exit, message: error.to_string(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
