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
    /// It boots next: something in it cannot be changed while the host runs.
    Deferred {
        /// What.
        component: String,
    },
    /// Everything is in its place, and with it another program of this agent. Nothing is concluded: that one goes
    /// through it again and does.
    ForTheNext,
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
        /// The exit code of the program that failed, if it ended with one.
        exit_code: Option<i32>,
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
    /// The exit code of the program that failed, if it ended with one.
    pub exit_code: Option<i32>,
}

impl From<ResourceError> for Failure {
    fn from(error: ResourceError) -> Self {
        Self {
            class: error.class(),
            reason: error.reason().to_owned(),
            detail: error.to_string(),
            exit_code: None,
        }
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

/// What was brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Brought {
    /// It runs.
    Running,
    /// It boots next.
    Staged {
        /// What cannot be changed while the host runs.
        component: String,
    },
}

/// Brings closures of one sort about.
pub(super) trait Backend {
    /// Brings it about. Whether anything was changed is kept in the host's mark.
    fn bring_about(&self, order: Order) -> impl Future<Output = Result<Brought, Failure>> + Send;
}
