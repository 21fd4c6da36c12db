//! `wavegate release windows`.
//!
//! Not here: when a window is open.

use super::table::{or_dash, table};
use crate::release::windows::{HostOpening, HostWindows};

/// The windows and next openings of a host.
#[must_use]
pub fn of_host(found: &HostWindows) -> String {
    let (host, rollout) = (&found.host, &found.rollout_id);
    let Some(first) = found.windows.first() else {
        return format!("{host} has no maintenance windows in {rollout}: any time will do\n");
    };
    let windows: Vec<String> = found.windows.iter().map(ToString::to_string).collect();
    let rows = found.openings.iter().map(|HostOpening { opens_at, closes_at, .. }| {
        [opens_at.to_string(), closes_at.map_or("never".to_owned(), |at| at.to_string())]
    });
    let local = found
        .openings
        .iter()
        .map(|o| [or_dash(o.opens_local.as_ref()), or_dash(o.closes_local.as_ref())]);
    let rows = rows.zip(local).map(|([opens, closes], [opens_local, closes_local])| {
        [opens, closes, opens_local, closes_local]
    });
    let (opens, closes) = (format!("OPENS IN {}", first.tz), format!("CLOSES IN {}", first.tz));
    let header = ["OPENS", "CLOSES", opens.as_str(), closes.as_str()];
    format!(
        "{host} under {rollout}: {}\n{}",
        windows.join("; "),
        table(header, rows, "no time zone of these windows is known here: they never open")
    )
}
