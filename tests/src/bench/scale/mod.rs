//! How the core and its store behave as the fleet grows, without sockets: P3 to P6, and a table of costs
//! from a thousand hosts to a million.
//!
//! Reading order: [`fleet`] is a control plane with hosts that do as they are told, in one thread and in
//! virtual time; [`growth`] is P3, [`planning`] P4, [`recovery`] P5, [`starting`] P6, [`table`] the costs.
//!
//! Not here: the server over mTLS (see [`super::load`]).

pub(super) mod fleet;
mod host;

pub(super) mod growth;
pub(super) mod planning;
mod plot;
pub(super) mod recovery;
pub(super) mod starting;
pub(super) mod table;

use std::time::Duration;

/// Milliseconds, with what is after the point.
fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The one in the middle, or later: `share` 0.5 is the median, 0.99 the p99.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of rounds"
)]
pub(super) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let index = (times.len() as f64 * share) as usize;
    times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
