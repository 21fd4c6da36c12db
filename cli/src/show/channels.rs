//! `wavegate channels`.
//!
//! Not here: the rollouts on them.

use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::ChannelDocument;

use super::table::{or_dash, span, table};

/// A list of channels.
#[must_use]
pub fn list(channels: &[ChannelDocument], now: Timestamp) -> String {
    let rows = channels.iter().map(|channel| {
        let left = channel.fresh_until.secs_since(now);
        let fresh = u64::try_from(left).map_or_else(|_| "stale".to_owned(), span);
        let after: Vec<_> = channel.after.iter().map(ToString::to_string).collect();
        [
            channel.channel.to_string(),
            channel.reference.to_string(),
            channel.serial.to_string(),
            or_dash(channel.state),
            channel.hosts.to_string(),
            fresh,
            if after.is_empty() { "-".to_owned() } else { after.join(", ") },
        ]
    });
    let header = ["CHANNEL", "REF", "SERIAL", "STATE", "HOSTS", "FRESH FOR", "AFTER"];
    table(header, rows, "no channels yet")
}
