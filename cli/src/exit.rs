//! How a command ends when it does not end well: exit code, `error:` line, `hint:` line.
//!
//! Not here: what went wrong (each area has its own error type).

use std::fmt;
use std::process::ExitCode;

use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::trust::rotation::RotationError;

use crate::client::ClientError;
use crate::fleet_toml::source::{FileError, FileErrors};
use crate::init::InitError;
use crate::keys::ca::CaError;
use crate::keys::file::FileAccessError;
use crate::keys::host_key::HostKeyFileError;
use crate::keys::release_key::KeyError;
use crate::keys::rotation::RotateError;
use crate::keys::trust::TrustReadError;
use crate::release::BuildError;
use crate::release::dir::DirError;
use crate::release::rehearse::RehearseError;
use crate::release::verify::VerifyError;
use crate::swarm::SwarmError;

/// Why a command did not end well; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// Refused, failed, or a check found something.
    Refused = 1,
    /// Wrong usage, or a bad file written by a person.
    Usage = 2,
    /// The control plane could not be reached, or TLS failed.
    Unreachable = 3,
    /// Whoever read our output has enough: no failure, and nothing is said.
    ClosedPipe = 0,
}

impl ExitReason {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Refused => ExitCode::from(1),
            Self::Usage => ExitCode::from(2),
            Self::Unreachable => ExitCode::from(3),
            Self::ClosedPipe => ExitCode::SUCCESS,
        }
    }
}

/// A command that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: ExitReason,
    /// What to say.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(reason: ExitReason, message: impl fmt::Display) -> Self {
        Self { reason, message: message.to_string(), hint: None }
    }

    /// Wrong usage.
    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(ExitReason::Usage, message)
    }

    /// With a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// As it is written to stderr, without a line end.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<FileErrors> for Failure {
    fn from(mut errors: FileErrors) -> Self {
        if let [only] = errors.0.as_mut_slice() {
            let hint = only.hint.take();
            return Self { reason: ExitReason::Usage, message: only.to_string(), hint };
        }
        Self::usage(format!("{} mistakes\n{errors}", errors.0.len()))
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        FileErrors::from(error).into()
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let hint = match &error {
            BuildError::RefConflict { .. } => Some("choose another with --ref CHANNEL=REF"),
            BuildError::Rule(broken) if broken.code == RuleCode::RevocationMovedBack => {
                Some("keep every [[revoked]] entry, and move its not_before only forward")
            }
            BuildError::SerialNotAbove { .. } => Some("leave --serial out to take the next one"),
            BuildError::OtherFleet { .. }
            | BuildError::UnknownChannel(_)
            | BuildError::Ref(_)
            | BuildError::Encoding(_)
            | BuildError::Rule(_)
            | BuildError::Files(_) => None,
        };
        let hint = hint.map(str::to_owned);
        match error {
            BuildError::Files(errors) => errors.into(),
            BuildError::UnknownChannel(_) | BuildError::SerialNotAbove { .. } => {
                Self { reason: ExitReason::Usage, message: error.to_string(), hint }
            }
            BuildError::OtherFleet { .. }
            | BuildError::RefConflict { .. }
            | BuildError::Ref(_)
            | BuildError::Encoding(_)
            | BuildError::Rule(_) => {
                Self { reason: ExitReason::Refused, message: error.to_string(), hint }
            }
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { reason: error.exit_reason(), hint: error.hint(), message: error.to_string() }
    }
}

impl From<CaError> for Failure {
    fn from(error: CaError) -> Self {
        match error {
            CaError::File(error) => error.into(),
            CaError::NoneBelow => Self::new(ExitReason::Refused, error).with_hint(
                "it was made by an older version: make a new one with `wavegate ca init` and put its \
                 ca.pem beside the old one in trust.json",
            ),
            CaError::Certificate(_) | CaError::Unusable(_) | CaError::NotAnAuthority { .. } => {
                Self::new(ExitReason::Refused, error)
            }
        }
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        match error {
            InitError::NotEmpty(_) => Self::new(ExitReason::Refused, error)
                .with_hint("init writes into a new or empty folder only"),
            InitError::Hosts => Self::usage(error),
            InitError::Name(_)
            | InitError::File(_)
            | InitError::Key(_)
            | InitError::Ca(_)
            | InitError::Trust(_) => Self::new(ExitReason::Refused, error),
        }
    }
}

impl From<SwarmError> for Failure {
    fn from(error: SwarmError) -> Self {
        match error {
            SwarmError::Limit(_) => Self::new(ExitReason::Refused, error).with_hint(
                "raise it with `ulimit -n`, or divide the swarm among processes with --skip",
            ),
            SwarmError::Client(_, _) => Self::usage(error),
            SwarmError::Certificate(_) | SwarmError::Threads(_) => {
                Self::new(ExitReason::Refused, error)
            }
        }
    }
}

impl From<FileAccessError> for Failure {
    fn from(error: FileAccessError) -> Self {
        let exposed = error.is_exposed_key();
        let reason = if exposed { ExitReason::Usage } else { ExitReason::Refused };
        Self { reason, hint: error.hint(), message: error.to_string() }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::File(error) => error.into(),
            KeyError::Random | KeyError::Content { .. } => Self::new(ExitReason::Refused, error),
        }
    }
}

macro_rules! refused {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(ExitReason::Refused, error)
            }
        })*
    };
}

refused!(
    HostKeyFileError,
    DirError,
    RehearseError,
    RotateError,
    RotationError,
    TrustReadError,
    VerifyError,
    serde_json::Error,
);

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self::new(if closed { ExitReason::ClosedPipe } else { ExitReason::Refused }, error)
    }
}
