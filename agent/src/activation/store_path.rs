//! The backend for `/nix/store` closures: refused by this build, before anything is touched.
//!
//! Not here: anything of NixOS yet.

use wavegate_proto::event::FailureClass;

use super::backend::{Backend, Failure, Order};

pub(super) struct StorePathBackend;

impl Backend for StorePathBackend {
    async fn bring_about(&self, _order: Order) -> Result<(), Failure> {
        Err(Failure {
            class: FailureClass::Policy,
            reason: "unsupported-backend".to_owned(),
            detail: "this agent activates bundles only, not store paths".to_owned(),
        })
    }
}
