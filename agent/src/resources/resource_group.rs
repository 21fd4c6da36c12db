//! `kind = "group"` with `members`: there is nothing of its own on the host.
//!
//! It is worked on after its members, which is all it takes to be completed; its health gate is what it
//! adds.
//! Not here: what it does to the order (see `graph`).

use std::sync::Arc;

use serde_json::json;
use wavegate_proto::artifact::bundle::ResourceGroupSpec;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::Operation;

use super::error::ResourceError;
use super::host::Host;
use super::kind::{Kind, Observed, Removal};
use super::owned::OwnedEntry;

/// The kind.
#[derive(Debug)]
pub struct ResourceGroup;

impl Kind for ResourceGroup {
    type Spec = ResourceGroupSpec;

    async fn observe(_: Arc<Host>, spec: ResourceGroupSpec) -> Result<Observed, ResourceError> {
        Ok(Observed::compared(Vec::new(), json!({ "members": spec.members })))
    }

    async fn reconcile(
        _: Arc<Host>,
        _: ResourceId,
        _: ResourceGroupSpec,
    ) -> Result<Operation, ResourceError> {
        Ok(Operation::None)
    }

    async fn delete(_: Arc<Host>, _: OwnedEntry) -> Result<Removal, ResourceError> {
        Ok(Removal::AlreadyDone)
    }
}
