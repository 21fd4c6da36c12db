//! `wavegate host resources` and `wavegate drift`.
//!
//! Not here: which hosts are asked.

use serde::Deserialize;
use wavegate_proto::ids::{HostName, ResourceId};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::resource::{Drift, Operation, ResourceKind, ResourceState};

use super::table::{ago, or_dash, table};

/// What is shown of one item of `/v1/hosts/{host}/resources`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResourceItem {
    /// Its id.
    pub id: ResourceId,
    /// Its kind.
    pub kind: ResourceKind,
    /// How it is.
    pub status: ResourceState,
    /// Since when.
    pub since: Timestamp,
    /// What was done last.
    pub operation: Operation,
    /// What it waits for.
    pub blocker: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// How it differs.
    pub drift: Option<Drift>,
}

impl ResourceItem {
    /// Whether it is known not to be as it should be.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        self.drift.is_some_and(|drift| drift != Drift::Ok)
    }

    fn why(&self) -> String {
        let blocked = self.blocker.as_ref().map(|by| format!("waits for {by}"));
        // One line: the rest is in --json.
        let error = self.error.as_ref().map(|error| error.lines().next().unwrap_or("").to_owned());
        or_dash(blocked.or(error))
    }
}

/// The resources of one host.
#[must_use]
pub fn list(items: &[ResourceItem], now: Timestamp) -> String {
    let rows = items.iter().map(|item| {
        [
            item.id.to_string(),
            item.kind.as_str().to_owned(),
            word(&item.status),
            ago(now, item.since),
            word(&item.operation),
            or_dash(item.drift.as_ref().map(word)),
            item.why(),
        ]
    });
    let header = ["RESOURCE", "KIND", "STATUS", "SINCE", "OPERATION", "DRIFT", "WHY"];
    table(header, rows, "this host has said nothing of any resource")
}

/// What differs on which host.
#[must_use]
pub fn drift<'a>(rows: impl Iterator<Item = (&'a HostName, &'a ResourceItem)>) -> String {
    let rows = rows.map(|(host, item)| {
        [
            host.to_string(),
            item.id.to_string(),
            item.kind.as_str().to_owned(),
            or_dash(item.drift.as_ref().map(word)),
            word(&item.status),
            item.why(),
        ]
    });
    table(["HOST", "RESOURCE", "KIND", "DRIFT", "STATUS", "WHY"], rows, "nothing has drifted")
}

/// A word of the wire.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
