//! What can go wrong between this tool and a control plane, and what to do about it.
//!
//! Not here: the problem codes (`wavegate_proto::wire::problem`).

use std::error::Error as _;
use std::fmt;

use reqwest::StatusCode;
use wavegate_proto::wire::problem::Problem;

use crate::exit::ExitReason;
use crate::fleet_toml::source::FileError;

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug)]
pub enum ClientError {
    /// The connection is not configured, or wrongly.
    Config {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// No connection, or TLS failed.
    Unreachable {
        /// Where to.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The control plane refused, and says why.
    Problem(Box<Problem>),
    /// An answer that is not the control plane's.
    Answer {
        /// Where from.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// The exit code it leads to.
    #[must_use]
    pub fn exit_reason(&self) -> ExitReason {
        match self {
            Self::Config { .. } => ExitReason::Usage,
            Self::Unreachable { .. } => ExitReason::Unreachable,
            Self::Problem(_) | Self::Answer { .. } => ExitReason::Refused,
        }
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Config { hint, .. } => return hint.clone(),
            Self::Unreachable { reason, .. } if reason.contains("certificate") => {
                "--ca must be the authority of the control plane, and --url a name in its certificate"
            }
            Self::Unreachable { .. } => "is the control plane running, and is --url right?",
            Self::Problem(problem) => hint_for(problem.code())?,
            Self::Answer { .. } => "is --url the address of a control plane?",
        };
        Some(hint.to_owned())
    }

    /// Whether the same may go well a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status == 503,
            Self::Config { .. } | Self::Answer { .. } => false,
        }
    }

    /// A failure of the HTTP library.
    #[must_use]
    pub fn transport(url: &str, error: &reqwest::Error) -> Self {
        let mut reason = String::new();
        let mut source = error.source();
        // The innermost cause is the one that says something; the outer ones say "request failed".
        while let Some(cause) = source {
            reason = cause.to_string();
            source = cause.source();
        }
        if reason.is_empty() {
            reason = error.to_string();
        }
        Self::Unreachable { url: url.to_owned(), reason }
    }

    /// What an answer that is no success says.
    #[must_use]
    pub fn refusal(url: &str, status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Self::Problem(Box::new(problem)),
            Err(_) => Self::Answer { url: url.to_owned(), reason: format!("status {status}") },
        }
    }
}

fn hint_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "client-certificate-required" => {
            "give --cert and --key, or ask the status listener over http://"
        }
        "certificate-revoked" => {
            "the signed fleet document revokes this certificate; get a new one"
        }
        "role-forbidden" => "use an operator's certificate for changes, a viewer's for reading",
        "no-release" => "publish one: wavegate release publish DIR",
        "rollout-finished" => "only a newer release changes it now",
        "quarantined" => {
            "resume with --clear-quarantine, or publish a release with another closure"
        }
        "not-retryable" | "host-in-flight" => "wavegate host explain NAME tells where it is",
        "unknown-host" => "wavegate hosts lists them",
        "unknown-rollout" => "wavegate rollout list lists them",
        "signature-threshold" => "sign it: wavegate release sign DIR --key K",
        "stale" => "build it again with --previous and sign it",
        "serial-regressed" => "build it with --previous of the newest release",
        "ref-conflict" => "a ref never changes its content; build it with another --ref",
        "overloaded" | "shutting-down" | "rate-limited" => "try again in a moment",
        _ => return None,
    })
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { message, .. } => f.write_str(message),
            Self::Unreachable { url, reason } => write!(f, "cannot reach {url}: {reason}"),
            Self::Problem(problem) => {
                write!(f, "{} [{}]", problem.detail, problem.code())?;
                match &problem.missing {
                    Some(missing) => write!(f, ": {} missing", missing.len()),
                    None => Ok(()),
                }
            }
            Self::Answer { url, reason } => write!(f, "unexpected answer of {url}: {reason}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<FileError> for ClientError {
    fn from(mut error: FileError) -> Self {
        let hint = error.hint.take();
        Self::Config { message: error.to_string(), hint }
    }
}
