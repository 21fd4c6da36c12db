//! What every backend does: bring a closure about, or say whose failure it is.
//!
//! Not here: the backends themselves (one file each).

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use wavegate_proto::artifact::bundle::Bundle;
use wavegate_proto::event::FailureClass;
use wavegate_proto::wire::agent::ResourceRef;

use crate::resources::engine::{Direction, Limits};
use crate::resources::error::ResourceError;

/// How an activation or a rollback ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivationOutcome {
    /// The closure runs.
    Complete {
        /// Whether anything on the host had to be changed.
        changed: bool,
    },
    /// It does not.
    Failed {
        /// Whose failure it is.
        class: FailureClass,
        /// A stable code.
        reason: String,
        /// `false` only if nothing on the host was changed.
        changed: bool,
        /// A sentence for a person.
        detail: String,
    },
}

/// Why a backend failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose failure it is.
    pub class: FailureClass,
    /// A stable code.
    pub reason: String,
    /// A sentence for a person.
    pub detail: String,
}

impl From<ResourceError> for Failure {
    fn from(error: ResourceError) -> Self {
        Self { class: error.class(), reason: error.reason().to_owned(), detail: error.to_string() }
    }
}

/// What to bring about.
#[derive(Debug)]
pub(super) struct Order {
    /// The closure's document. `None` for store paths, and on the way back to nothing.
    pub(super) bundle: Option<Arc<Bundle>>,
    pub(super) direction: Direction,
    pub(super) limits: Limits,
    pub(super) satisfied: watch::Receiver<BTreeSet<ResourceRef>>,
}

/// Brings closures of one sort about.
pub(super) trait Backend {
    /// Brings it about. Whether anything was changed is kept in the host's mark.
    fn bring_about(&self, order: Order) -> impl Future<Output = Result<(), Failure>> + Send;
}
