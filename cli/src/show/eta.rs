//! When something is expected: `in 12m to 20m`, as likely before as after the first, nine times in ten before
//! the second.
//!
//! Not here: what that rests on (the control plane says it).

use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::forecast::{Basis, Eta, Expected};

use super::table::span;

/// When a rollout ends, and what that rests on.
pub(super) fn end(now: Timestamp, eta: &Eta) -> String {
    let basis = match eta.basis {
        Basis::Rollout => "by the hosts of this rollout so far",
        Basis::Channel => "by the hosts of the channel so far",
        Basis::Policy => "by the policy alone: nobody has converged on the channel yet",
    };
    format!("{}, {basis}", within(now, Expected { p50: eta.p50, p90: eta.p90 }))
}

/// When, or `-`.
pub(super) fn cell(now: Timestamp, expected: Option<Expected>) -> String {
    expected.map_or_else(|| "-".to_owned(), |expected| within(now, expected))
}

/// When a rollout ends, or `-`.
pub(super) fn end_cell(now: Timestamp, eta: Option<Eta>) -> String {
    cell(now, eta.map(|eta| Expected { p50: eta.p50, p90: eta.p90 }))
}

fn within(now: Timestamp, expected: Expected) -> String {
    let left = |at: Timestamp| span(u64::try_from(at.secs_since(now)).unwrap_or(0));
    let (p50, p90) = (left(expected.p50), left(expected.p90));
    if expected.p90 <= now {
        "any time now".to_owned()
    } else if p50 == p90 {
        format!("in {p50}")
    } else {
        format!("in {p50} to {p90}")
    }
}
