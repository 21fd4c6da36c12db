//! What a person on the host asks of the resources: to look, to put right, to forget.
//!
//! A running agent is asked over a socket in its state folder, which only its own user can open. When none
//! runs, the same is done here under the same lock, so that there are never two who change the host.
//! Not here: what only reads the agent's files (see [`crate::inspect`]).

mod ask;
mod desk;
mod offline;
mod show;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wavegate_proto::ids::ResourceId;

pub use ask::{drift, forget, reconcile, reset};
pub(crate) use desk::answer;

use crate::exit::{Exit, Failure};

/// The name of the socket in the state folder.
pub const SOCKET_FILE: &str = "agent.sock";

/// The most bytes of a request.
pub(crate) const MAX_REQUEST_BYTES: u64 = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How everything differs from what it should be.
    Drift,
    /// Bring it about, or say what that would do.
    Reconcile {
        /// Only this resource and what it needs.
        only: Option<ResourceId>,
        /// Change nothing.
        dry_run: bool,
        /// Who asks.
        identity: String,
    },
    /// Start anew with a resource.
    Reset {
        /// Which.
        id: ResourceId,
        /// Who asks.
        identity: String,
    },
    /// Drop the record of something that is gone.
    Forget {
        /// Which.
        id: ResourceId,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done; this is what came of it.
    Done {
        /// The document.
        document: Value,
    },
    /// It was not done.
    Refused {
        /// Whether the question itself was wrong.
        usage: bool,
        /// Why.
        message: String,
    },
}

impl Answer {
    fn refused(message: impl Into<String>) -> Self {
        Self::Refused { usage: false, message: message.into() }
    }

    fn into_document(self) -> Result<Value, Failure> {
        match self {
            Self::Done { document } => Ok(document),
            Self::Refused { usage: true, message } => Err(Failure::new(Exit::Usage, message)),
            Self::Refused { usage: false, message } => Err(Failure::new(Exit::Failed, message)),
        }
    }
}
