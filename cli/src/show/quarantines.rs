//! `wavegate quarantine list`.
//!
//! Not here: clearing one.

use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{QuarantineDocument, QuarantineSource};

use super::table::{ago, table};

/// A list of quarantines, with whole closures: they are arguments of other commands.
#[must_use]
pub fn list(quarantines: &[QuarantineDocument], now: Timestamp) -> String {
    let rows = quarantines.iter().map(|item| {
        let source = match item.source {
            QuarantineSource::Rollback => "rollback",
            QuarantineSource::Reported => "reported",
        };
        [
            item.channel.to_string(),
            item.closure.to_string(),
            ago(now, item.since),
            item.host.to_string(),
            item.rollout_id.to_string(),
            source.to_owned(),
            item.reason.clone(),
        ]
    });
    let header = ["CHANNEL", "CLOSURE", "SINCE", "HOST", "ROLLOUT", "SOURCE", "REASON"];
    table(header, rows, "nothing is quarantined")
}
