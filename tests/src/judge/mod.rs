//! A judge of what was seen at the wire: requests, answers, and when, against what the operator had
//! planned. It knows the protocol's page and nothing else.
//!
//! It shares nothing with what it judges: only the standard library and JSON (a tidy test looks). Where
//! the wire leaves an order open, it is given to the accused: a finding is certain.
//!
//! - [`history`] reads what was recorded, `posts` what hosts told and what of it was acknowledged;
//! - `journals`, `dispatches`, `halts` and `reads` are the rules.
//!
//! Not here: recording (see [`crate::tap`]).

mod dispatches;
mod halts;
pub mod history;
mod journals;
mod posts;
mod reads;

use std::collections::{BTreeMap, BTreeSet};

use history::{Exchange, History};
use posts::Posts;

/// What the operator planned for one rollout.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The wave of each host.
    pub waves: BTreeMap<String, u64>,
    /// Failures that are tolerated in each wave.
    pub max_failures: usize,
    /// How many of these hosts may be in flight at once.
    pub budgets: Vec<(usize, BTreeSet<String>)>,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static str,
    /// Where and how.
    pub detail: String,
}

/// Every rule, by name.
pub const RULES: [&str; 13] = [
    journals::ACKNOWLEDGED_WAS_SENT,
    journals::NEVER_TAKEN_BACK,
    journals::REFUSED_STAYS_REFUSED,
    dispatches::ONE_DISPATCH_AN_ATTEMPT,
    dispatches::WITHIN_THE_LEASE,
    dispatches::WAVES_IN_ORDER,
    dispatches::BUDGETS_HOLD,
    halts::NOTHING_AFTER_A_HALT,
    halts::NOTHING_SUPERSEDED,
    reads::SERIAL_NEVER_FALLS,
    reads::LOG_NEVER_FALLS,
    reads::LOG_ROWS_STAND,
    reads::ACKNOWLEDGED_IS_LOGGED_ONCE,
];

/// Every finding in a history.
#[must_use]
pub fn judge(history: &History) -> Vec<Finding> {
    let posts = Posts::of(history);
    let mut findings = journals::findings(history, &posts);
    findings.extend(dispatches::findings(history, &posts));
    findings.extend(halts::findings(history, &posts));
    findings.extend(reads::findings(history, &posts));
    findings
}

fn finding(rule: &'static str, at: &Exchange, detail: impl std::fmt::Display) -> Finding {
    let Exchange { who, sent, .. } = at;
    Finding { rule, detail: format!("{who}, request of {sent} ms: {detail}") }
}
