//! `wavegate quarantine`.
//!
//! Not here: when a closure is quarantined.

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

/// What clearing one did.
#[must_use]
pub fn cleared(item: &QuarantineDocument) -> String {
    format!(
        "{} may be dispatched on {} again; a halted rollout stays halted until it is resumed\n",
        item.closure, item.channel
    )
}
